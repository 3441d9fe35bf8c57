import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ProvisionError } from "../core/errors.js";
import type { Undo, UndoKinds } from "../core/step.js";
import { besidePath, type Host } from "../host/host.js";
import type { DatabaseNames, DbService } from "../services/db/service.js";

/** What undo kinds reach the world by. */
export interface UndoReach {
  host(name: string): Host;
}

function text(undo: Undo, key: string): string {
  const value = undo[key];
  if (typeof value !== "string") throw new ProvisionError("FAILED", `undo ${undo.do}: ${key} is missing from the journal`);
  return value;
}

function number(undo: Undo, key: string): number {
  const value = undo[key];
  if (typeof value !== "number") throw new ProvisionError("FAILED", `undo ${undo.do}: ${key} is missing from the journal`);
  return value;
}

function ownership(undo: Undo) {
  return { mode: number(undo, "mode"), uid: number(undo, "uid"), gid: number(undo, "gid") };
}

/**
 * Every way an effect is put back. Each is idempotent and bears a half-done or never begun apply. Journals of
 * every version name them: add kinds, never remove one or change what it means.
 */
export function fileUndoKinds(reach: UndoReach): UndoKinds {
  return {
    /** before: name of the copy in `before/`; null: the file was not there. */
    async restore_file(undo, directory) {
      const host = reach.host(undo.host);
      const path = text(undo, "path");
      await host.remove(besidePath(path));
      if (undo["before"] === null) return host.remove(path);
      const content = readFileSync(join(directory, "before", text(undo, "before")));
      return host.writeFile(path, content, ownership(undo));
    },
    /** Made by us and empty again by now: what others put in stays, and so does the directory. */
    async remove_directory(undo) {
      const host = reach.host(undo.host);
      const path = text(undo, "path");
      await host.removeEmpty(path);
    },
    /** A tree that carries the operation's id in its name, or was refused when there: all of it is ours. */
    async remove_tree(undo) {
      await reach.host(undo.host).remove(text(undo, "path"));
    },
    async restore_ownership(undo) {
      const host = reach.host(undo.host);
      const path = text(undo, "path");
      if (await host.stat(path)) await host.chmod(path, ownership(undo));
    },
    async restore_link(undo) {
      const host = reach.host(undo.host);
      const path = text(undo, "path");
      const target = undo["target"];
      await host.remove(besidePath(path));
      if (typeof target === "string") return host.symlink(target, path);
      if ((await host.stat(path))?.type === "link") await host.remove(path);
    },
    async rename_back(undo) {
      const host = reach.host(undo.host);
      const [from, to] = [text(undo, "from"), text(undo, "to")];
      if ((await host.stat(to)) && !(await host.stat(from))) await host.rename(to, from);
    },
  };
}

/** What stands on a database server; `db`: the service of a server context, by its name. */
export function databaseUndoKinds(db: (server: string) => Promise<DbService>): UndoKinds {
  const names = (undo: Undo) => undo["names"] as DatabaseNames;
  return {
    /** The database and its accounts, whose names carry the operation's id or were refused when there. */
    async database_drop(undo) {
      await (await db(text(undo, "server"))).remove?.(names(undo));
    },
    /** One account; its database stays. */
    async database_drop_account(undo) {
      await (await db(text(undo, "server"))).removeAccount?.(names(undo));
    },
  };
}
