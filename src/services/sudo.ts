import { ProvisionError } from "../core/errors.js";
import type { Argv, Host } from "../host/host.js";

/** The line of sudoers by which `user` may run those of these commands that begin with sudo. */
export function sudoersLine(user: string, commands: readonly Argv[]): string {
  const words = commands.filter(([program]) => program === "sudo").map((argv) => withoutSudo(argv).join(" "));
  return `${user} ALL=(root) NOPASSWD: ${[...new Set(words)].join(", ")}`;
}

/** Whether sudo grants those of these commands that begin with it, without a password. */
export async function sudoGrants(host: Host, commands: readonly Argv[]): Promise<boolean> {
  for (const argv of commands) {
    if (argv[0] !== "sudo") continue;
    try {
      const asked = await host.run(["sudo", "-n", "-l", ...withoutSudo(argv)], { anyExit: true, timeout: 30_000 });
      if (asked.code !== 0) return false;
    } catch (error) {
      if (error instanceof ProvisionError && error.code === "PROGRAM_MISSING") return false;
      throw error;
    }
  }
  return true;
}

function withoutSudo([, ...words]: Argv): readonly string[] {
  return words.filter((word) => word !== "-n");
}
