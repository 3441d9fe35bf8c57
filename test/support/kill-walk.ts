/**
 * How much of a kill test is walked. PROVISION_TEST_KILL_ALL=1: every point with every verb, and a dense walk of double kills, which takes hours;
 * PROVISION_TEST_KILL_ALL=20: every point, and a twentieth of the double kills, other ones in every run; unset: a sample, the same in every run.
 */
const asked = Number(process.env["PROVISION_TEST_KILL_ALL"] ?? 0);

export const EXHAUSTIVE = asked >= 1;

/** Double kills that are walked in this run, of all that there are. */
export function drawn<T>(doubles: readonly T[]): readonly T[] {
  return doubles.filter(() => Math.random() * asked < 1);
}

/** Says in the output how much a whole walk was. */
export function counted(of: string, verdicts: readonly unknown[]): void {
  if (EXHAUSTIVE) console.log(`${of}: ${verdicts.length} walks`);
}
