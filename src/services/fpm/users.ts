import { createHash } from "node:crypto";
import type { Server } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import { withInnerLock } from "../../core/lock.js";
import type { Step } from "../../core/step.js";
import type { Argv, Host } from "../../host/host.js";
import { sudoGrants } from "../sudo.js";
import type { PoolOf } from "./service.js";

/** Marks the users that are ours to remove. */
const COMMENT = "provision-pool";
/** Where ids are looked for: above people's, below those that containers and systemd take. */
const [FIRST_ID, IDS] = [20_000, 30_000];

export type PoolKind = "client" | "site";

/**
 * The user of a client's or a site's pool: readable, and nobody else's, for hub, kind and name are in it as a hash. `name` is a uri, or a
 * client's context name. At most 32 characters.
 */
export function poolUser(hub: string, kind: PoolKind, name: string): string {
  const readable = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 18)
    .replace(/^-+|-+$/g, "");
  const hash = createHash("sha256").update(`${hub}\n${kind}\n${name}`).digest("hex").slice(0, 8);
  return `pv${kind[0]}-${readable}-${hash}`;
}

interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly comment: string;
}

async function accountOf(host: Host, nameOrId: string): Promise<Account | undefined> {
  const { code, stdout } = await host.run(["getent", "passwd", nameOrId], { anyExit: true, timeout: 30_000 });
  const [, , uid, gid, comment = ""] = stdout.trim().split(":");
  return code === 0 ? { uid: Number(uid), gid: Number(gid), comment } : undefined;
}

async function groupOf(host: Host, nameOrId: string): Promise<readonly string[] | undefined> {
  const { code, stdout } = await host.run(["getent", "group", nameOrId], { anyExit: true, timeout: 30_000 });
  return code === 0 ? (stdout.trim().split(":")[3] ?? "").split(",").filter((member) => member !== "") : undefined;
}

/** The pool with the ids that its user has, or will get. Rejects with NAME_TAKEN when somebody else has the name. */
export async function findPool(host: Host, user: string): Promise<PoolOf> {
  const account = await accountOf(host, user);
  if (account) {
    if (account.comment.split(",")[0] !== COMMENT)
      throw new ProvisionError(
        "NAME_TAKEN",
        `${host.name}: the user ${user} is not one that provision made (its comment is not ${COMMENT})`,
      );
    return { user, uid: account.uid, gid: account.gid };
  }
  const start = Number.parseInt(createHash("sha256").update(user).digest("hex").slice(0, 8), 16) % IDS;
  for (let step = 0; step < IDS; step++) {
    const id = FIRST_ID + ((start + step) % IDS);
    if (!(await accountOf(host, String(id))) && !(await groupOf(host, String(id)))) return { user, uid: id, gid: id };
  }
  throw new ProvisionError("FAILED", `${host.name}: no user id from ${FIRST_ID} to ${FIRST_ID + IDS - 1} is free`);
}

export interface UserSetup {
  readonly host: Host;
  /** Name of the server context, with its `@`. */
  readonly server: string;
  /** Who provision runs as. */
  readonly scriptUser: string;
  /** Let into the group of each pool, for the web server reads files of sites. */
  readonly webUser: string;
  /** Directory of the inner locks. */
  readonly locks: string;
}

export function userSetupOf(server: Pick<Server, "name" | "script_user" | "web_user" | "web_group">, host: Host, locks: string): UserSetup {
  return {
    host,
    server: server.name,
    scriptUser: server.script_user,
    webUser: server.web_user ?? server.web_group ?? server.script_user,
    locks,
  };
}

function asRoot({ scriptUser }: UserSetup, argv: Argv): Argv {
  return scriptUser === "root" ? argv : ["sudo", "-n", ...argv];
}

function makeGroup({ user, gid }: PoolOf): Argv {
  return ["/usr/sbin/groupadd", "--system", "--gid", String(gid), user];
}

function makeUser({ user, uid }: PoolOf): Argv {
  const nobody = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "--comment", COMMENT];
  return ["/usr/sbin/useradd", "--system", "--uid", String(uid), "--gid", user, ...nobody, user];
}

function letIn(member: string, { user }: PoolOf): Argv {
  return ["/usr/sbin/usermod", "--append", "--groups", user, member];
}

/** What has to be done as root before the pool's user is there and the web server reads through its group; empty: nothing. */
async function missing(setup: UserSetup, pool: PoolOf): Promise<readonly Argv[]> {
  const account = await accountOf(setup.host, pool.user);
  const group = await groupOf(setup.host, pool.user);
  const inside = [setup.webUser, ...(setup.scriptUser === "root" ? [] : [setup.scriptUser])];
  return [
    ...(group ? [] : [makeGroup(pool)]),
    ...(account ? [] : [makeUser(pool)]),
    ...inside.filter((member) => !group?.includes(member)).map((member) => letIn(member, pool)),
  ];
}

/** The user of the pool, and who is let into its group. Undone when it was made. */
export function userStep(setup: UserSetup, server: string, pool: PoolOf): Step {
  const { host, locks } = setup;
  return {
    id: "php/user",
    title: `Unix user ${pool.user}`,
    async check() {
      const commands = await missing(setup, pool);
      const made = commands.some(([program]) => program !== "/usr/sbin/usermod");
      const undo = made ? [{ do: "unix_user_remove", host: host.name, server, user: pool.user }] : [];
      return { changes: commands.map((argv) => argv.join(" ")), undo };
    },
    async apply() {
      await withInnerLock(locks, "unix-users", async () => {
        for (const command of await missing(setup, pool)) await host.run(asRoot(setup, command), { timeout: 60_000 });
      });
      return null;
    },
  };
}

/** The user is gone, and its group; one that is not ours is left. Can be repeated. */
export async function removeUser(setup: UserSetup, user: string): Promise<void> {
  const { host, locks } = setup;
  await withInnerLock(locks, "unix-users", async () => {
    const account = await accountOf(host, user);
    if (account && account.comment.split(",")[0] === COMMENT)
      // By force: a process of it may not have ended yet, and none can begin.
      await host.run(asRoot(setup, ["/usr/sbin/userdel", "--force", user]), { timeout: 60_000 });
    // Its members keep it from going with its user.
    if (/^pv[cs]-/.test(user) && !(await accountOf(host, user)) && (await groupOf(host, user)))
      await host.run(asRoot(setup, ["/usr/sbin/groupdel", user]), { timeout: 60_000 });
  });
}

/** The lines of sudoers by which users can be made and removed, and nothing else. sudo 1.9.10 or later reads them. */
export function userSudoersLine({ scriptUser, webUser }: UserSetup): string {
  const name = "pv[cs]-[a-z0-9-]+";
  const [group, user] = [makeGroup, makeUser].map((of) => {
    const [program, ...words] = of({ user: name, uid: 0, gid: 0 });
    return `${program} ^${words.join(" ").replace(/(--[ug]id) 0/, "$1 [0-9]+")}$`;
  });
  return `${scriptUser} ALL=(root) NOPASSWD: ${[
    group,
    user,
    `/usr/sbin/usermod ^--append --groups ${name} (${webUser}|${scriptUser})$`,
    `/usr/sbin/userdel ^--force ${name}$`,
    `/usr/sbin/groupdel ^${name}$`,
  ].join(", ")}`;
}

/** Whether the user can be made here, or is there. Rejects with PERMISSION_DENIED, the lines and the commands. */
export async function needUser(setup: UserSetup, pool: PoolOf): Promise<void> {
  const commands = await missing(setup, pool);
  for (const command of commands) {
    if (await allowed(setup, command)) continue;
    throw new ProvisionError("PERMISSION_DENIED", `${setup.scriptUser} may not make the Unix user ${pool.user}, which php_pool wants`, {
      state: "nothing was changed",
      next: [
        `in /etc/sudoers.d/provision: ${userSudoersLine(setup)}`,
        ...commands.map((argv) => `or as root: ${argv.join(" ")}`),
        `or let all sites share one pool: provision save ${setup.server} --php_pool=shared`,
      ],
    });
  }
  // Nobody gives a file to a group that the login is not in, and a login that is under way gets into no new one.
  if (setup.scriptUser === "root" || (await inGroup(setup.host, pool.gid))) return;
  throw new ProvisionError(
    "PERMISSION_DENIED",
    `this login of ${setup.scriptUser} is not in the group ${pool.user}, which PHP of this pool runs with`,
    {
      why: ["a login gets its groups when it begins"],
      state: "nothing was changed",
      next: [...commands.map((argv) => asRoot(setup, argv).join(" ")), `log in as ${setup.scriptUser} anew, and repeat the command`],
    },
  );
}

async function inGroup(host: Host, gid: number): Promise<boolean> {
  return (await host.run(["id", "-G"], { timeout: 30_000 })).stdout.trim().split(" ").includes(String(gid));
}

/** Whether users can be made at all; part of verify @server. */
export async function mayMakeUsers(setup: UserSetup): Promise<boolean> {
  return allowed(setup, makeUser({ user: "pvs-provision-00000000", uid: FIRST_ID, gid: FIRST_ID }));
}

async function allowed({ host, scriptUser }: UserSetup, argv: Argv): Promise<boolean> {
  return scriptUser === "root" || sudoGrants(host, [["sudo", ...argv]]);
}
