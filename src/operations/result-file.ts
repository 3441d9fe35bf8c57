import { dirname, resolve } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Emit } from "../core/events.js";
import { Scope } from "../core/scope.js";
import { LocalHost } from "../host/local.js";

export interface ResultFile {
  /** As the user named it. */
  readonly path: string;
  readonly text: string;
  readonly dryRun: boolean;
  /** Another file that stands there may be replaced. */
  readonly replace: boolean;
}

/** Writes one file that was made for the user, whole; one step in what is told. Rejects with NAME_TAKEN or FILE_NOT_FOUND. */
export async function writeResultFile({ path, text, dryRun, replace }: ResultFile, emit: Emit): Promise<void> {
  const begun = Date.now();
  const host = new LocalHost(new Scope());
  const file = resolve(path);
  const there = await host.readFile(file);
  if (there === undefined && (await host.stat(dirname(file)))?.type !== "directory")
    throw new ProvisionError("FILE_NOT_FOUND", `there is no directory ${dirname(file)} to write ${path} into`);
  if (there !== undefined && there !== text && !replace)
    throw new ProvisionError("NAME_TAKEN", `${path} is there already, with other content`, {
      next: ["--yes to replace it, or another --result-file"],
    });
  const same = there === text;
  if (!same && !dryRun) await host.writeFile(file, text);
  const change = `${there === undefined ? "create" : "replace"} ${path}`;
  const outcome = same ? "ok" : dryRun ? "would_change" : "changed";
  emit({ type: "finished", step: "write", title: `Write ${path}`, outcome, changes: same ? [] : [change], ms: Date.now() - begun });
}
