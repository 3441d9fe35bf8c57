import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";

/** Something with an address of its own: programs that are started by `within` come from there, and listen there. Files are those of all. */
export interface Address {
  readonly address: string;
  readonly within: readonly string[];
}

export interface Addresses {
  /** Of this machine, by which those reach it. */
  readonly here: string;
  readonly others: readonly Address[];
  remove(): void;
}

/** Why there can be none: undefined when there can. Nowhere a failure, for what else would tell addresses apart has to be had from the kernel. */
export function missingAddresses(): string | undefined {
  if (process.getuid?.() !== 0) return "only root makes network namespaces";
  const name = `pvt-${randomBytes(4).toString("hex")}`;
  const made = spawnSync("ip", ["netns", "add", name]).status === 0;
  const bridged = made && spawnSync("ip", ["link", "add", `${name}b`, "type", "bridge"]).status === 0;
  if (bridged) spawnSync("ip", ["link", "del", `${name}b`]);
  if (made) spawnSync("ip", ["netns", "del", name]);
  return bridged ? undefined : "no network namespaces can be made here";
}

/** So many network namespaces, and a bridge between them and this machine; a network of a range that nobody routes. */
export function startAddresses(count: number): Addresses {
  const name = `pvt${randomBytes(4).toString("hex")}`;
  const network = `100.${randomInt(64, 128)}.${randomInt(256)}`;
  const made: (readonly string[])[] = [];
  const ip = (...args: readonly string[]) => execFileSync("ip", args, { stdio: "pipe" });
  const remove = () => {
    for (const args of made.toReversed()) spawnSync("ip", args);
  };
  try {
    ip("link", "add", name, "type", "bridge");
    made.push(["link", "del", name]);
    ip("addr", "add", `${network}.1/24`, "dev", name);
    ip("link", "set", name, "up");
    const others = Array.from({ length: count }, (_, index) => {
      const [space, end] = [`${name}-${index}`, `${name}${index}`];
      const within = ["ip", "netns", "exec", space];
      ip("netns", "add", space);
      made.push(["netns", "del", space]);
      ip("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", space);
      ip("link", "set", end, "master", name, "up");
      const inside = (...args: readonly string[]) => ip("-n", space, ...args);
      inside("addr", "add", `${network}.${index + 2}/24`, "dev", "eth0");
      inside("link", "set", "eth0", "up");
      inside("link", "set", "lo", "up");
      return { address: `${network}.${index + 2}`, within };
    });
    return { here: `${network}.1`, others, remove };
  } catch (error) {
    remove();
    throw error;
  }
}
