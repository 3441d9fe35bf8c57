import { dirname, resolve } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Emit } from "../core/events.js";
import { besidePath } from "../host/host.js";
import { synced } from "../steps/archive.js";
import { MANIFEST } from "./parts/manifest.js";
import { refuseFullDisk } from "./parts/preflight.js";
import { refuseDamaged, type StoredBackup } from "./parts/stored-backups.js";
import type { Services } from "./services.js";

export interface ExportArgs {
  readonly backup: StoredBackup;
  /** Of the file to be written, relative to the working directory. */
  readonly path: string;
  readonly dryRun: boolean;
  /** Another file that stands there may be replaced. */
  readonly replace: boolean;
}

/** One tar file of a backup, for the owner alone, whole or not at all. Rejects with NAME_TAKEN, FILE_NOT_FOUND, REFUSED (damaged), DISK_FULL. */
export async function exportBackup(use: Services, { backup, path, dryRun, replace }: ExportArgs, emit: Emit): Promise<void> {
  const begun = Date.now();
  const host = use.local;
  const to = resolve(path);
  if ((await host.stat(dirname(to)))?.type !== "directory")
    throw new ProvisionError("FILE_NOT_FOUND", `there is no directory ${dirname(to)} to write ${path} into`);
  const there = await host.stat(to);
  if (there && (there.type !== "file" || !replace))
    throw new ProvisionError("NAME_TAKEN", `${path} is there already`, { next: ["--yes to replace it, or another name"] });
  await refuseDamaged(host, backup);
  if (!dryRun) {
    await refuseFullDisk(use.local, dirname(to), backup.bytes + 1024 * 1024);
    const beside = besidePath(to);
    try {
      await host.remove(beside);
      // The manifest first: whoever opens the file wants to know what is in it.
      const names = [MANIFEST, ...backup.manifest.parts.map(({ name }) => name)].map((name) => `${backup.id}/${name}`);
      await host.run([
        "tar",
        "--create",
        `--file=${beside}`,
        "--force-local",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        `--directory=${dirname(backup.directory)}`,
        "--",
        ...names,
      ]);
      await host.chmod(beside, { mode: 0o600 });
      await synced(host, [beside]);
      await host.rename(beside, to);
    } catch (error) {
      await host.remove(beside);
      throw error;
    }
  }
  emit({
    type: "finished",
    step: "export",
    title: `Export ${backup.id}`,
    outcome: dryRun ? "would_change" : "changed",
    changes: [`${there ? "replace" : "create"} ${path}`],
    ms: Date.now() - begun,
  });
  emit({ type: "data", data: { backup: backup.id, file: to, bytes: (await host.stat(to))?.size ?? 0 } });
  emit({ type: "text", lines: dryRun ? [] : [to] });
  emit({ type: "ended", ms: Date.now() - begun });
}
