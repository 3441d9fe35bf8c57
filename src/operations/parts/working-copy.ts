import { goBack } from "../../builds/git/working-copy.js";
import type { UndoKinds } from "../../core/step.js";
import type { Host } from "../../host/host.js";

export function workingCopyUndo(reach: { host(name: string): Host }): UndoKinds {
  return {
    /** A working copy stands on the commit again, and on its branch, that it stood on before. */
    async git_checkout(undo) {
      const host = reach.host(undo.host);
      const path = String(undo["path"]);
      if (!(await host.stat(path))) return;
      const branch = undo["branch"];
      await goBack(host, path, String(undo["commit"]), typeof branch === "string" ? branch : undefined);
    },
  };
}
