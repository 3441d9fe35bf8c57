import { writeFileSync } from "node:fs";

let seen = 0;

const count = process.env["PROVISION_TEST_KILL_COUNT"];
// A kill test walks from 1 to what is found there.
if (count !== undefined) process.on("exit", () => writeFileSync(count, String(seen)));

/**
 * A place where the kill tests end the process, as a power cut would: at the point whose number
 * PROVISION_TEST_KILL_AT names, after `last` (half a write) was done. Does nothing otherwise.
 */
export function killPoint(last?: () => void): void {
  const at = process.env["PROVISION_TEST_KILL_AT"];
  if (at === undefined || ++seen !== Number(at)) return;
  last?.();
  process.kill(process.pid, "SIGKILL");
}

/** How many points were passed: a kill test walks from 1 to this. */
export function killPointsSeen(): number {
  return seen;
}
