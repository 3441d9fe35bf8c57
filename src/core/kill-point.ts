import { readFileSync, writeFileSync } from "node:fs";

let seen = 0;
const torn: number[] = [];

const count = process.env["PROVISION_TEST_KILL_COUNT"];
// What a kill test walks: the number of points, and those of them that tear a journal record.
if (count !== undefined) process.on("exit", () => writeFileSync(count, JSON.stringify({ points: seen, torn })));

/** A pipe with a name: the process stands still at the point until the other end is closed, and goes on. Meanwhile a test cuts a link. */
const pause = process.env["PROVISION_TEST_PAUSE_BY"];

/**
 * A place where the kill tests end the process, as a power cut would: at the point whose number
 * PROVISION_TEST_KILL_AT names, after `last` (half a write) was done. Does nothing otherwise.
 */
export function killPoint(last?: () => void): void {
  const at = process.env["PROVISION_TEST_KILL_AT"];
  if (at === undefined) return;
  seen++;
  if (last) torn.push(seen);
  if (seen !== Number(at)) return;
  if (pause !== undefined) {
    readFileSync(pause);
    return;
  }
  last?.();
  process.kill(process.pid, "SIGKILL");
}

/**
 * How many points were passed: a kill test walks from 1 to this.
 * @public Read by kill tests out of dist/, where knip does not look.
 */
export function killPointsSeen(): number {
  return seen;
}
