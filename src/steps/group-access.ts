import type { Run, Step, UndoKinds } from "../core/step.js";
import type { Argv, Host } from "../host/host.js";
import type { StepPlace } from "./files.js";

/** A tree that belongs to one site. */
export type SharedTree = {
  /** Absolute; one that is not there is passed over. */
  readonly path: string;
  /** Written by PHP through the group; else only read through it, and nobody else's to change. */
  readonly writable: boolean;
};

export interface GroupAccess {
  /** Undefined: whatever group it has. */
  readonly gid: number | undefined;
  /** Owner of what PHP only reads; undefined: whoever owns it. */
  readonly uid: number;
  /** Of what PHP writes: who may own it beside `uid`; undefined: anybody. Root gives the rest to this one. */
  readonly writer: number | undefined;
}

interface Found {
  readonly path: string;
  readonly mine: boolean;
  /** Owner, group and mode, in words. */
  readonly is: string;
}

/** Trees of one kind that are there. */
type Trees = Pick<SharedTree, "writable"> & { readonly paths: readonly string[] };

const ROOT = 0;

/** What find has to look for: entries that are not as they should be. Links are left, and whatever is no file or directory. */
function wrong({ writable }: Pick<SharedTree, "writable">, { gid, uid, writer }: GroupAccess, root: boolean) {
  const group = gid === undefined ? [] : ["-o", "!", "-gid", String(gid)];
  const directory = writable ? ["!", "-perm", "-2770", "-o", "-perm", "-0002"] : ["!", "-perm", "-0750", "-o", "-perm", "/0022"];
  const file = writable
    ? ["!", "-perm", "-0040", "-o", "(", "-perm", "-0200", "!", "-perm", "-0020", ")", "-o", "-perm", "-0002"]
    : ["!", "-perm", "-0440", "-o", "-perm", "/0022"];
  const owner = !writable
    ? ["!", "-uid", String(uid)]
    : root && writer !== undefined
      ? ["!", "-uid", String(uid), "!", "-uid", String(writer)]
      : undefined;
  return {
    directories: ["-type", "d", "(", ...directory, ...group, ")"],
    files: ["-type", "f", "(", ...file, ...group, ")"],
    owners: owner && ["(", "-type", "d", "-o", "-type", "f", ")", ...owner],
  };
}

/**
 * Everything in the trees can be read, or written, through the group, and by nobody else. What this user may not change is named with a
 * warning, for root; it is no change, so that a second run says 0. Undone, it is so for the `former` group again; without one the step has no
 * undo of its own.
 */
export function groupAccess(
  host: Host,
  trees: readonly SharedTree[],
  access: GroupAccess,
  place: StepPlace & Pick<Step, "undoneBy">,
  former?: GroupAccess,
): Step {
  const each = (action: (trees: Trees, access: GroupAccess) => Promise<void>) => eachKind(host, trees, access, action);
  return {
    ...place,
    async check(run) {
      const changes: string[] = [];
      await each(async (kind, wanted) => {
        const all = await look(host, kind, wanted);
        for (const path of kind.paths) {
          const found = all.filter((one) => one.path === path || one.path.startsWith(`${path}/`));
          const mine = found.filter(({ mine }) => mine);
          if (mine.length > 0) changes.push(`set owner, group or mode of ${some(mine)}`);
          const others = found.filter((one) => !one.mine);
          if (others.length > 0) needsRoot(run, others, { path, writable: kind.writable }, wanted);
        }
      });
      return former ? { changes, undo: [{ do: "group_access", host: host.name, trees, access: accessData(former) }] } : { changes };
    },
    async apply() {
      await each((kind, wanted) => repair(host, kind, wanted));
      return null;
    },
  };
}

/** The undo kind: what the step does, for a group that the journal names. */
export function groupAccessUndo(reach: { host(name: string): Host }): UndoKinds {
  return {
    async group_access(undo) {
      const { gid, uid, writer } = undo["access"] as unknown as ReturnType<typeof accessData>;
      const host = reach.host(undo.host);
      const access = { gid: gid ?? undefined, uid, writer: writer ?? undefined };
      await eachKind(host, undo["trees"] as unknown as readonly SharedTree[], access, (kind, wanted) => repair(host, kind, wanted));
    },
  };
}

/** The journal knows null, not undefined. */
function accessData({ gid, uid, writer }: GroupAccess) {
  return { gid: gid ?? null, uid, writer: writer ?? null };
}

/** One program looks at all trees of a kind that are there: most are small, and its start takes longer than the look. */
async function eachKind(
  host: Host,
  trees: readonly SharedTree[],
  access: GroupAccess,
  action: (trees: Trees, access: GroupAccess) => Promise<void>,
): Promise<void> {
  const there: SharedTree[] = [];
  for (const tree of trees) if ((await host.stat(tree.path))?.type === "directory") there.push(tree);
  for (const writable of [true, false]) {
    const paths = there.filter((tree) => tree.writable === writable).map(({ path }) => path);
    if (paths.length > 0) await action({ paths, writable }, access);
  }
}

async function look(host: Host, trees: Trees, access: GroupAccess): Promise<readonly Found[]> {
  const me = access.uid;
  const { directories, files, owners } = wrong(trees, access, me === ROOT);
  const any = ["(", ...directories, ")", "-o", "(", ...files, ")", ...(owners ? ["-o", "(", ...owners, ")"] : [])];
  const { stdout } = await host.run(["find", ...trees.paths, "-xdev", "(", ...any, ")", "-printf", "%U %U:%G %m %p\\0"], { anyExit: true });
  const entries = new Set(stdout.split("\0"));
  // One tree may be in another.
  return [...entries]
    .filter((entry) => entry !== "")
    .map((entry) => {
      const [uid = "", owner = "", mode = "", ...path] = entry.split(" ");
      return { path: path.join(" "), mine: me === ROOT || Number(uid) === me, is: `${owner} ${mode}` };
    });
}

/** By find, which does not follow a link that somebody puts in the way of a directory. */
async function repair(host: Host, trees: Trees, access: GroupAccess): Promise<void> {
  const me = access.uid;
  const { directories, files, owners } = wrong(trees, access, me === ROOT);
  const own = me === ROOT ? [] : ["-uid", String(me)];
  const find = async (which: readonly string[], ...command: readonly string[]) => {
    const argv: Argv = ["find", ...trees.paths, "-xdev", ...own, ...which, "-execdir", ...command, "{}", "+"];
    await host.run(argv);
  };
  if (owners && me === ROOT) await find(owners, "chown", "-h", String(trees.writable ? (access.writer ?? access.uid) : access.uid), "--");
  // Group and mode are two looks: what has a new group may have the right mode already.
  if (access.gid !== undefined)
    await find(["(", "-type", "d", "-o", "-type", "f", ")", "!", "-gid", String(access.gid)], "chgrp", "-h", String(access.gid), "--");
  if (trees.writable) {
    await find(directories, "chmod", "u+rwx,g+rwxs,o-w", "--");
    await find(["-perm", "-0200", ...files], "chmod", "g+rw,o-w", "--");
    await find(files, "chmod", "g+r,o-w", "--");
  } else {
    await find(directories, "chmod", "u+rwx,g+rx,go-w", "--");
    await find(files, "chmod", "u+r,g+r,go-w", "--");
  }
}

function some(found: readonly Found[]): string {
  const [first, ...more] = found;
  return `${first?.path} (is ${first?.is})${more.length === 0 ? "" : ` and ${more.length} more`}`;
}

function needsRoot(run: Pick<Run, "warn">, found: readonly Found[], tree: SharedTree, { gid, uid }: GroupAccess): void {
  const [mode, owner] = tree.writable ? ["g+rwX,o-w", ""] : ["g+rX,go-w", String(uid)];
  const shown = found.slice(0, 5).map(({ path, is }) => `${path} (is ${is})`);
  run.warn(
    `${found.length === 1 ? "one entry needs" : `${found.length} entries need`} root: ${shown.join(", ")}${found.length > 5 ? ", …" : ""}; as root: chown -hR ${owner}${gid === undefined ? "" : `:${gid}`} ${tree.path} && chmod -R ${mode} ${tree.path}`,
  );
}
