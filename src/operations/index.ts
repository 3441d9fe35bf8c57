import { ProvisionError } from "../core/errors.js";
import type { Operation } from "../core/step.js";
import type { Services } from "./services.js";

/** Any operation, by the inputs that only it understands. */
export type AnyOperation = Operation<never, never, Services>;

/** Every operation by its name, as journals name it; loaded when it is run, resumed or aborted. */
const OPERATIONS: Readonly<Record<string, () => Promise<unknown>>> = {
  init: async () => (await import("./init.js")).init,
  save: async () => (await import("./save.js")).save,
  "delete-context": async () => (await import("./save.js")).deleteContext,
  "verify-server": async () => (await import("./verify-server.js")).verifyServer,
  "verify-platform": async () => (await import("./verify-platform.js")).verifyPlatform,
  "rebuild-platform": async () => (await import("./rebuild-platform.js")).rebuildPlatform,
  "update-platform": async () => (await import("./update-platform.js")).updatePlatform,
  "verify-site": async () => (await import("./verify-site.js")).verifySite,
  import: async () => (await import("./import.js")).importSite,
  "import-remote": async () => (await import("./import-remote.js")).importRemote,
  install: async () => (await import("./install.js")).install,
  backup: async () => (await import("./backup.js")).backup,
  "remove-backups": async () => (await import("./remove-backups.js")).removeBackups,
  "drill-backup": async () => (await import("./drill-backup.js")).drillBackup,
  restore: async () => (await import("./restore.js")).restore,
  deploy: async () => (await import("./deploy.js")).deploy,
  clone: async () => (await import("./clone.js")).clone,
  migrate: async () => (await import("./migrate.js")).migrate,
  sync: async () => (await import("./sync.js")).sync,
  rollback: async () => (await import("./rollback.js")).rollback,
  rehearse: async () => (await import("./rehearse.js")).rehearse,
  "prune-generations": async () => (await import("./prune-generations.js")).pruneGenerations,
  "delete-site": async () => (await import("./delete-site.js")).deleteSite,
  "delete-other": async () => (await import("./delete-other.js")).deleteOther,
  "renew-certificate": async () => (await import("./renew-certificate.js")).renewCertificate,
  enable: async () => (await import("./enable.js")).setEnabled(true),
  disable: async () => (await import("./enable.js")).setEnabled(false),
  lock: async () => (await import("./lock-platform.js")).setLocked(true),
  unlock: async () => (await import("./lock-platform.js")).setLocked(false),
};

/** The operation of a journal. Rejects with PLAN_CHANGED when this version has none of that name. */
export async function operationNamed(name: string): Promise<AnyOperation> {
  const load = OPERATIONS[name];
  if (load) return (await load()) as AnyOperation;
  throw new ProvisionError("PLAN_CHANGED", `this version of provision has no operation ${name}`, {
    next: ["use the version that began it"],
  });
}
