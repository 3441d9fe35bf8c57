/** An action that goes on while others are taken; who awaits it hears how it went, and when those others have failed nobody does. */
export function meanwhile<T>(action: Promise<T>): Promise<T> {
  action.catch(() => {});
  return action;
}

/**
 * What several actions that need nothing of each other give, all under way at once. Waits for every one; where some reject, it is the first of them in
 * this order that is told: the same fault has the same words each time, and nothing is still running then.
 */
export async function together<T extends readonly unknown[]>(...actions: { readonly [K in keyof T]: Promise<T[K]> }): Promise<T> {
  const outcomes = await Promise.allSettled(actions);
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed) throw failed.reason;
  return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<unknown>).value) as unknown as T;
}
