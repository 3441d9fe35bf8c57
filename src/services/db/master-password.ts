import { MASTER_PASSWORD } from "../../context/master-db.js";
import { ProvisionError } from "../../core/errors.js";
import { Secret } from "../../core/secret.js";
import { argvOf } from "../php.js";
import type { DbSetup } from "./index.js";

/** Of a program that asks a vault somewhere else. */
const PATIENCE = 30_000;

/**
 * The password of the account in master_db: the first line that password_command prints, else what is in the server's secrets;
 * undefined: it has none. `patience`: milliseconds. Rejects with CONFIGURATION when the program fails, says nothing or does not end;
 * nothing that it printed is ever shown.
 */
export async function masterPassword(
  { server: { name, password_command: command }, secrets, hub }: Pick<DbSetup, "server" | "secrets" | "hub">,
  patience = PATIENCE,
): Promise<Secret | undefined> {
  if (command === undefined) return secrets.get(name, MASTER_PASSWORD);
  const wrong = (what: string) =>
    new ProvisionError("CONFIGURATION", `password_command of ${name} (${command}) ${what}`, {
      why: ["what it printed is not shown: a password may be in it"],
      next: [`${command}    # as the user that runs provision`],
    });
  let said: { readonly code: number; readonly stdout: string };
  try {
    said = await hub.run(argvOf(command), { anyExit: true, timeout: patience });
  } catch (error) {
    if (!(error instanceof ProvisionError)) throw error;
    if (error.code === "PROGRAM_MISSING") throw wrong("is not there");
    if (error.code === "TIMED_OUT") throw wrong(`did not end within ${patience / 1000} seconds`);
    // The message names program and signal; the rest is what it printed.
    throw wrong("was ended by a signal");
  }
  if (said.code !== 0) throw wrong(`ended with exit code ${said.code}`);
  const [password = ""] = said.stdout.split(/\r?\n/);
  if (password === "") throw wrong("printed no password");
  return new Secret(password);
}
