import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, ProvisionError } from "../../core/errors.js";
import type { Json } from "../../core/json.js";
import { withInnerLock } from "../../core/lock.js";
import type { Step } from "../../core/step.js";
import { type Argv, besidePath, type Host, isAway } from "../../host/host.js";
import { askFpm } from "./fastcgi.js";
import { type Place, socketPath } from "./place.js";
import { markerText, type Pool, poolHash, poolText, readPool } from "./pool.js";
import type { Program } from "./program.js";
import type { FpmOf, Member, PoolEdit } from "./service.js";

/** Milliseconds. */
const BEGINS_ANEW = 2_000;
const COMMAND_TIMEOUT = 120_000;
const ASK_TIMEOUT = 10_000;

/** Pool files of one PHP-FPM, and what its daemon makes of them. */
export interface Served {
  readonly host: Host;
  readonly place: Place;
  readonly of: FpmOf;
  /** Context name with its `@`. */
  readonly server: string;
  readonly webUser: string;
  readonly webGroup: string;
  /** What pools may open beside their sites. */
  readonly markers: readonly string[];
  readonly locks: string;
  /** Milliseconds within which a reload has to be proven. */
  readonly patience: number;
  readonly program: () => Promise<Program>;
  readonly test: () => Promise<Argv>;
  readonly reload: () => Promise<Argv>;
  /** What root has to do so that PHP-FPM reads our files. */
  readonly include: () => Promise<string>;
}

/** A file of ours; no content: it is not there. */
interface PoolFile {
  readonly user: string;
  readonly path: string;
  readonly content: string | undefined;
}

function pathOf({ place }: Served, user: string): string {
  return join(place.pools, `${user}.conf`);
}

/** See FpmService.activate. */
export function activateStep(served: Served, id: string, title: string, edits: readonly PoolEdit[], more: Pick<Step, "phase"> = {}): Step {
  const undoable = more.phase === undefined || more.phase === "undoable";
  return {
    id,
    title,
    ...more,
    async check() {
      const { files, before } = await edited(served, edits);
      const changes: string[] = [];
      for (const { user, path, content } of files) {
        const present = await served.host.readFile(path);
        if (present !== content) changes.push(`${present === undefined ? "create" : content === undefined ? "remove" : "update"} ${path}`);
        else if ((await poolSays(served, user)) !== poolHash(content)) changes.push(`reload PHP-FPM for the pool ${user}`);
      }
      if (changes.length === 0) return { changes };
      await needIncluded(served);
      if (!undoable) return { changes };
      const undo = { do: "fpm_restore", host: served.host.name, server: served.server, fpm: served.of as unknown as Json, edits: before };
      return { changes, undo: [undo] };
    },
    async apply() {
      await exchange(served, edits);
      return null;
    },
  };
}

/** The undo kind `fpm_restore`. A PHP-FPM that does not read our files is not asked to. */
export async function restoreMembers(served: Served, edits: readonly PoolEdit[]): Promise<void> {
  for (const { pool } of edits) {
    const path = pathOf(served, pool.user);
    await served.host.remove(besidePath(path));
  }
  await served.host.remove(served.place.candidate);
  if ((await generationServed(served)) !== undefined) await exchange(served, edits);
  else await withInnerLock(served.locks, lockName(served), async () => writeAll(served, (await edited(served, edits)).files));
  // What was kept by PHP of a pool that was made goes with it; one that was left has a site again, and finds its sessions.
  for (const { pool } of edits)
    if (!(await served.host.stat(pathOf(served, pool.user)))) await served.host.remove(join(served.place.data, pool.user));
}

function lockName({ server, place }: Served): string {
  return `php-fpm.${server.slice(1)}.${place.root.slice(place.root.lastIndexOf("/") + 1)}`;
}

/** The files with the edits made, from what stands there now, and the members as they are before. */
async function edited(served: Served, edits: readonly PoolEdit[]): Promise<{ files: readonly PoolFile[]; before: Json }> {
  const pools = new Map<string, Pool>();
  const before: Json[] = [];
  for (const { pool, uri, member } of edits) {
    const now = pools.get(pool.user) ?? { ...(await poolOnDisk(served, pool.user)), fpm: served.of, pool };
    const members: Record<string, Member> = { ...now.members };
    before.push({ pool: { ...pool }, uri, member: (members[uri] ?? null) as unknown as Json });
    if (member === undefined) delete members[uri];
    else members[uri] = member;
    pools.set(pool.user, { ...now, members });
  }
  const { sharing } = await served.program();
  const files = [...pools.values()].map((pool) => ({
    user: pool.pool.user,
    path: pathOf(served, pool.pool.user),
    content: poolText(pool, { ...served, sharing }),
  }));
  return { files, before };
}

async function poolOnDisk(served: Served, user: string): Promise<Pick<Pool, "members">> {
  const path = pathOf(served, user);
  const text = await served.host.readFile(path);
  if (text === undefined) return { members: {} };
  const read = readPool(text);
  if (read) return read;
  throw new ProvisionError("CONFIGURATION", `${served.host.name}: ${path} is not as provision wrote it`, {
    state: "nothing was replaced",
    next: [`remove it, and verify the sites of the pool ${user}`],
  });
}

/** Candidate, test, swap, reload, prove; anything wrong puts the old files back and rejects. */
async function exchange(served: Served, edits: readonly PoolEdit[]): Promise<void> {
  await withInnerLock(served.locks, lockName(served), async () => {
    const { files } = await edited(served, edits);
    await needIncluded(served);
    await makeRoom(served, files);
    await testCandidate(served, files);
    const before = await Promise.all(files.map(async (file) => ({ ...file, content: await served.host.readFile(file.path) })));
    const generation = await served.host.readFile(served.place.marker);
    let reloaded = false;
    try {
      await writeAll(served, files);
      await testWhole(served);
      reloaded = true;
      await reloadAndProve(served, files);
    } catch (error) {
      // On a machine that was lost nothing is put back: how far it came is not known, and resume or abort goes on from there.
      if (isAway(error)) throw error;
      await writeAll(served, before);
      if (generation !== undefined) await served.host.writeFile(served.place.marker, generation);
      if (reloaded)
        await reloadAndProve(served, before).catch(() => {
          // What failed first is told; the undo of this step tries again.
        });
      throw error;
    }
  });
}

/** PHP-FPM ends when it cannot open a socket, which no test of its configuration finds out: the directory is made sure of here. */
async function makeRoom({ host, place }: Served, files: readonly PoolFile[]): Promise<void> {
  await host.mkdir(place.pools, { mode: 0o711 });
  await host.mkdir(place.sockets, { mode: 0o711 });
  for (const { user, content } of files) {
    const path = socketPath(place, user);
    if (content !== undefined && Buffer.byteLength(path) > 107)
      throw new ProvisionError(
        "CONFIGURATION",
        `${host.name}: the path of a socket may have 107 bytes, and ${path} has ${Buffer.byteLength(path)}`,
        {
          state: "nothing was replaced",
          next: ["a hub with a shorter path", "php_pool: shared"],
        },
      );
  }
}

async function writeAll({ host }: Served, files: readonly PoolFile[]): Promise<void> {
  for (const { path, content } of files) {
    if ((await host.readFile(path)) === content) continue;
    if (content === undefined) await host.remove(path);
    else await host.writeFile(path, content, { mode: 0o600 });
  }
}

/** The new pools apart from all others, read by PHP-FPM as the user that provision is. */
async function testCandidate(served: Served, files: readonly PoolFile[]): Promise<void> {
  const { host, place } = served;
  const present = files.filter(({ content }) => content !== undefined);
  if (present.length === 0) return;
  const main = join(place.candidate, "php-fpm.conf");
  const { program } = await served.program();
  await host.remove(place.candidate);
  try {
    await host.mkdir(place.candidate, { mode: 0o700 });
    const text = ["[global]", `error_log = "${join(place.candidate, "log")}"`, ...present.map(({ content }) => content), ""].join("\n");
    await host.writeFile(main, text, { mode: 0o600 });
    const { code, stdout, stderr } = await host.run([program, "-t", "--fpm-config", main], { anyExit: true, timeout: COMMAND_TIMEOUT });
    if (code !== 0)
      throw new ProvisionError("CONFIGURATION", `${host.name}: PHP-FPM refuses the new pool`, {
        why: told(stdout + stderr).map((line) => line.replaceAll(`${place.candidate}/`, `${place.root}/`)),
        state: "nothing was replaced",
      });
  } finally {
    await host.remove(place.candidate);
  }
}

async function testWhole(served: Served): Promise<void> {
  const { host } = served;
  const command = await served.test();
  const { code, stdout, stderr } = await host.run(command, { anyExit: true, timeout: COMMAND_TIMEOUT });
  if (code === 0) return;
  const sudo = /^sudo: /m.test(stderr);
  throw new ProvisionError(
    sudo ? "PERMISSION_DENIED" : "CONFIGURATION",
    `${host.name}: PHP-FPM ${sudo ? "could not be tested" : "refuses its configuration as a whole"}`,
    {
      why: told(stdout + stderr),
      state: "what runs goes on",
      next: sudo ? [`in /etc/sudoers.d/provision: a line for ${command.slice(2).join(" ")}`] : [],
    },
  );
}

/** The words of a failed test; the last lines only repeat that it failed. */
function told(output: string): readonly string[] {
  return output
    .split("\n")
    .map((line) => line.replace(/^\[[^\]]*\] /, "").trim())
    .filter((line) => line !== "" && !/^NOTICE|FPM initialization failed|failed to (?:load|post process)|Unable to include/.test(line))
    .slice(0, 4);
}

/** A generation that PHP-FPM has not read yet. */
export async function newGeneration({ host, place, webUser, webGroup }: Served): Promise<string> {
  const generation = `g${Date.now().toString(36)}-${randomBytes(4).toString("hex")}`;
  await host.writeFile(place.marker, markerText(place, webUser, webGroup, generation), { mode: 0o600 });
  return generation;
}

/** Reloads by the configured command, and asks until PHP-FPM has read the new generation and each pool runs its new text, or is gone. */
export async function reloadAndProve(served: Served, files: readonly PoolFile[]): Promise<void> {
  const { host, patience } = served;
  const generation = await newGeneration(served);
  const command = await served.reload();
  try {
    await host.run(command, { timeout: COMMAND_TIMEOUT });
  } catch (error) {
    if (isAway(error)) throw error;
    throw new ProvisionError("SERVICE_UNAVAILABLE", `${host.name}: PHP-FPM could not be reloaded`, {
      why: [messageOf(error), ...(error instanceof ProvisionError ? error.why : [])],
      cause: error,
    });
  }
  const deadline = Date.now() + patience;
  const proven = async (): Promise<string | undefined> => {
    const now = await generationServed(served);
    if (now !== generation) return now === undefined ? "it does not answer" : "it goes on with what it had; its error log says why";
    for (const { user, content } of files)
      if ((await poolSays(served, user)) !== poolHash(content))
        return `the pool ${user} ${content === undefined ? "still runs" : "does not run"}`;
    return undefined;
  };
  for (;;) {
    const wrong = await proven();
    if (wrong === undefined) return;
    if (Date.now() >= deadline)
      throw new ProvisionError(
        "SERVICE_UNAVAILABLE",
        `PHP-FPM of ${served.server} did not take over its new pools within ${patience / 1000} s`,
        {
          why: [wrong],
        },
      );
    await sleep(20);
  }
}

async function says(host: Host, socket: string, script: string): Promise<string | undefined> {
  try {
    const { pool } = JSON.parse(await askFpm(host, socket, script, ASK_TIMEOUT)) as { pool: unknown };
    return typeof pool === "string" ? pool : undefined;
  } catch (error) {
    if (isAway(error)) throw error;
    return undefined;
  }
}

/** The generation that PHP-FPM has read; undefined when it does not run, or does not read our files. */
export function generationServed({ host, place }: Served): Promise<string | undefined> {
  return says(host, place.markerSocket, place.markerScript);
}

function poolSays({ host, place }: Served, user: string): Promise<string | undefined> {
  return says(host, socketPath(place, user), place.markerScript);
}

/** See FpmService.needIncluded. */
export async function needIncluded(served: Served): Promise<void> {
  const there = await served.host.stat(served.place.top);
  // Somebody may have had it begin anew just now, and meanwhile it does not answer.
  for (const deadline = Date.now() + BEGINS_ANEW; ; await sleep(100)) {
    if ((await generationServed(served)) !== undefined) return;
    if (!there || Date.now() >= deadline) break;
  }
  throw new ProvisionError("SERVICE_UNAVAILABLE", `PHP-FPM of ${served.server} does not read ${served.place.top}, or does not run`, {
    state: "nothing was replaced",
    next: there ? [await served.include()] : [`provision verify ${served.server}`],
  });
}
