/**
 * How much of a kill test is walked. PROVISION_TEST_KILL_ALL=1: every point with every verb, and a dense walk of double kills, which takes hours;
 * PROVISION_TEST_KILL_ALL=20: one of each twenty that follow each other, other points in every run; unset: a sample, the same in every run.
 */
const asked = Number(process.env["PROVISION_TEST_KILL_ALL"] ?? 0);

export const EXHAUSTIVE = asked >= 1;

/** Those that are walked in this run, of all that there are: spread over all of them, so that no part of an operation is left out. */
export function drawn<T>(walks: readonly T[]): readonly T[] {
  if (asked <= 1) return walks;
  const taken = Array.from({ length: Math.ceil(walks.length / asked) }, (_, stratum) => Math.floor((stratum + Math.random()) * asked));
  return walks.filter((_, index) => taken.includes(index));
}

/** Says in the output how much a whole walk was. */
export function counted(of: string, verdicts: readonly unknown[]): void {
  if (EXHAUSTIVE) console.log(`${of}: ${verdicts.length} walks`);
}
