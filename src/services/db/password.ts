import { createHash, randomBytes } from "node:crypto";
import type { SecretStore } from "../../context/secrets.js";
import { ProvisionError } from "../../core/errors.js";
import { Secret } from "../../core/secret.js";
import type { Step } from "../../core/step.js";
import type { Host } from "../../host/host.js";
import { sameFamily } from "./names.js";

const PREFIX = "db_password_";

/** Key of an account's password among the secrets of its site: an account has one password as long as it lives. */
export function passwordKey(user: string): string {
  if (/^[a-z0-9_]+$/.test(user)) return PREFIX + user;
  const words = user.toLowerCase().replace(/[^a-z0-9_]/g, "_");
  return `${PREFIX}${words}_${createHash("sha256").update(user).digest("hex").slice(0, 8)}`;
}

/** The password of an account. Rejects with CONFIGURATION when it is not in the site's secrets. */
export async function passwordOf(secrets: SecretStore, site: string, user: string): Promise<Secret> {
  const password = await secrets.get(site, passwordKey(user));
  if (password) return password;
  throw new ProvisionError(
    "CONFIGURATION",
    `the password of ${user}, the database account of ${site}, is not in ${secrets.layout.secretsFile(site)}`,
    { next: [`provision verify ${site} --rotate-password    # makes a new account with a new password`] },
  );
}

/** `user` and those it replaced, whose passwords are still kept: a name that a secret's key does not say as it is counts too. */
export async function keptUsers(secrets: SecretStore, site: string, user: string): Promise<readonly string[]> {
  const own = (await secrets.get(site, passwordKey(user))) ? [user] : [];
  return [...own, ...(await formerUsers(secrets, site, user))];
}

/** Accounts of the same database that were replaced by `user` and whose passwords are still kept. */
export async function formerUsers(secrets: SecretStore, site: string, user: string): Promise<readonly string[]> {
  return [...(await secrets.all(site)).keys()]
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => key.slice(PREFIX.length))
    .filter((other) => other !== user && sameFamily(user, other));
}

/** A new password for the account, in the site's secrets before anything uses it. */
export function passwordStep(secrets: SecretStore, hub: Host, site: string, user: string): Step {
  const path = secrets.layout.secretsFile(site);
  const key = passwordKey(user);
  return {
    id: "database/password",
    title: "Password of the database account in secrets",
    async check() {
      if (await secrets.get(site, key)) return { changes: [] };
      const stat = await hub.stat(path);
      const before = "database-secrets";
      return {
        changes: [`make a password for ${user}`],
        undo: [
          stat
            ? { do: "restore_file", host: hub.name, path, before, mode: stat.mode, uid: stat.uid, gid: stat.gid }
            : { do: "restore_file", host: hub.name, path, before: null },
        ],
        before: stat ? [{ name: before, host: hub.name, path }] : [],
      };
    },
    async apply() {
      // An apply that a kill cut short may have written it.
      if (await secrets.get(site, key)) return null;
      await write(secrets, hub, site, new Map([[key, randomPassword()]]));
      return null;
    },
  };
}

/** Takes the passwords of accounts that are gone out of the site's secrets. */
export async function forgetPasswords(secrets: SecretStore, hub: Host, site: string, users: readonly string[]): Promise<void> {
  await write(secrets, hub, site, new Map(users.map((user) => [passwordKey(user), undefined])));
}

async function write(secrets: SecretStore, hub: Host, site: string, changes: ReadonlyMap<string, Secret | undefined>): Promise<void> {
  const path = secrets.layout.secretsFile(site);
  const text = await secrets.changed(site, changes);
  if (text) await hub.writeFile(path, text, { mode: 0o600 });
  else await hub.remove(path);
}

/** 256 random bits. Upper and lower case, a digit and a sign are in it: some servers refuse a password without. */
export function randomPassword(): Secret {
  for (;;) {
    const password = randomBytes(32).toString("base64url");
    if ([/[a-z]/, /[A-Z]/, /[0-9]/, /[_-]/].every((kind) => kind.test(password))) return new Secret(password);
  }
}
