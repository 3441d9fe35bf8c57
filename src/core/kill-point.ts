let seen = 0;

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

/**
 * How many points were passed: a kill test walks from 1 to this.
 * @public Read by kill tests out of dist/, where knip does not look.
 */
export function killPointsSeen(): number {
  return seen;
}
