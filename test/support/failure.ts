import { ProvisionError } from "../../src/core/errors.js";

/** The error that a promise rejects with; it must be one that a user can meet. */
export async function failure(promise: Promise<unknown>): Promise<ProvisionError> {
  const error = await promise.then(
    () => new Error("it was expected to fail, and did not"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ProvisionError)) throw error;
  return error;
}
