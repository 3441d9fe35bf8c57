import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, ProvisionError } from "../../../core/errors.js";
import type { Gathering } from "../../../core/gathering.js";
import type { Json } from "../../../core/json.js";
import { withInnerLock } from "../../../core/lock.js";
import type { Decision, Run, Step, Undo } from "../../../core/step.js";
import { type Argv, besidePath, type Host, isAway } from "../../../host/host.js";
import { checkPair } from "../../certificate-pair.js";
import { sudoersLine } from "../../sudo.js";
import { MARKER_HEADER } from "../routing.js";
import type { ConfigFile, Exchange, Placed } from "../service.js";
import type { Daemon, Facts } from "./daemon.js";
import { type Marker, readMarker, retired, workers } from "./marker.js";
import type { Place } from "./place.js";

const COMMAND_TIMEOUT = 120_000;
/** How a vhost that was set aside is kept: no include sees it. */
const BROKEN = ".broken";

/** One server's configuration, as files and as what its daemon makes of it. */
export interface Served {
  readonly host: Host;
  readonly daemon: Daemon;
  readonly place: Place;
  /** Context name with its `@`. */
  readonly server: string;
  /** Who provision runs as. */
  readonly user: string;
  /** Directory of the inner locks. */
  readonly locks: string;
  /** Milliseconds within which a reloaded daemon has to serve what was written. */
  readonly patience: number;
  /** The other sites of the same run, whose files are put in place together with these. */
  readonly gathering: Gathering | undefined;
  readonly facts: () => Promise<Facts>;
  readonly test: () => Promise<Argv>;
  readonly reload: () => Promise<Argv>;
}

/** See HttpService.activate. `files` may hang on what is found on the machine. */
export function activateStep(
  served: Served,
  id: string,
  title: string,
  files: () => Promise<readonly ConfigFile[]>,
  more: Pick<Step, "phase"> = {},
): Step {
  return {
    id,
    title,
    ...more,
    async check() {
      const decision = await decide(served, await files());
      return more.phase === undefined || more.phase === "undoable" ? decision : { changes: decision.changes };
    },
    async apply(run) {
      const member: Member = { files: await files(), run };
      const { gathering } = served;
      if (gathering === undefined || sides(served, member.files).serverFiles.length > 0) await exchange(served, member.files, run);
      else await gathering.meet(`http ${served.server}`, member, run.signal, (members) => exchangeTogether(served, members));
      return null;
    },
  };
}

async function decide(served: Served, files: readonly ConfigFile[]): Promise<Decision> {
  const { host } = served;
  const changes: string[] = [];
  const before: { path: string; content: string | null }[] = [];
  for (const file of files) {
    const content = await host.readFile(file.path);
    if (content === file.content) continue;
    changes.push(`${content === undefined ? "create" : file.content === undefined ? "remove" : "update"} ${file.path}`);
    before.push({ path: file.path, content: content ?? null });
  }
  const marker = await markerOf(served);
  if (changes.length === 0 && marker.state === "serving" && marker.generation !== (await generationOnDisk(served)))
    changes.push(`reload ${served.daemon.label} of ${served.server}: it serves generation ${marker.generation}`);
  if (changes.length === 0) return { changes };
  if (sides(served, files).serverFiles.length === 0) needDaemon(served, marker);
  const undo: Undo = { do: "http_restore", host: host.name, server: served.server, files: before satisfies Json };
  return { changes, undo: [undo] };
}

/** See HttpService.exchange. */
export function exchangeParts(served: Served, files: readonly ConfigFile[]): Exchange {
  return {
    decide: () => decide(served, files),
    locked: (work) => withInnerLock(served.locks, lockName(served), work),
    prepare: () => testAlone(served, files),
    put: (run) => put(served, files, run),
  };
}

/** Candidate, test, swap, reload, prove; anything wrong puts the old files back and rejects. */
async function exchange(served: Served, files: readonly ConfigFile[], run: Pick<Run, "warn">): Promise<void> {
  await withInnerLock(served.locks, lockName(served), async () => {
    await testAlone(served, files);
    await swap(served, files, run);
  });
}

/** What one operation brings to a common exchange. */
interface Member {
  readonly files: readonly ConfigFile[];
  readonly run: Pick<Run, "warn">;
}

/** One exchange for all. Out: who was refused, and why; what it brought was not put in place, and all else was. */
async function exchangeTogether(served: Served, members: readonly Member[]): Promise<ReadonlyMap<Member, unknown>> {
  const refused = new Map<Member, unknown>();
  /** As one; if that is refused by halves, down to whoever is to blame. */
  const byHalves = async (group: readonly Member[], work: (files: readonly ConfigFile[], run: Member["run"]) => Promise<void>) => {
    const [first] = group;
    if (first === undefined) return;
    try {
      await work(
        group.flatMap(({ files }) => files),
        first.run,
      );
    } catch (error) {
      if (group.length === 1 || isAway(error)) {
        for (const member of group) refused.set(member, error);
        return;
      }
      const half = Math.ceil(group.length / 2);
      await byHalves(group.slice(0, half), work);
      await byHalves(group.slice(half), work);
    }
  };
  await withInnerLock(served.locks, lockName(served), async () => {
    for (const group of withoutDoubles(members)) {
      await byHalves(group, (files) => testAlone(served, files));
      const sound = group.filter((member) => !refused.has(member));
      await byHalves(sound, (files, run) => swap(served, files, run));
    }
  });
  return refused;
}

/** No path twice among those who go together: two sub-directory sites of one host bring the same file. */
function withoutDoubles(members: readonly Member[]): readonly (readonly Member[])[] {
  const groups: { readonly members: Member[]; readonly paths: Set<string> }[] = [];
  for (const member of members) {
    const paths = member.files.map(({ path }) => path);
    const group = groups.find((one) => !paths.some((path) => one.paths.has(path)));
    if (group === undefined) groups.push({ members: [member], paths: new Set(paths) });
    else {
      group.members.push(member);
      for (const path of paths) group.paths.add(path);
    }
  }
  return groups.map((group) => group.members);
}

/** What can be known of files before they stand where the daemon looks. */
async function testAlone(served: Served, files: readonly ConfigFile[]): Promise<void> {
  for (const { pair } of files) if (pair) await checkPair(served.host, pair, "nothing was replaced");
  if (sides(served, files).serverFiles.length === 0) needDaemon(served, await markerOf(served));
  await testCandidate(served, files);
}

async function swap(served: Served, files: readonly ConfigFile[], run: Pick<Run, "warn">): Promise<void> {
  const { take, back } = await put(served, files, run);
  try {
    await take();
  } catch (error) {
    await backUnlessAway(error, back);
    throw error;
  }
}

/** On a machine that was lost nothing is put back: how far it came is not known, and resume or abort goes on from there. */
async function backUnlessAway(error: unknown, back: () => Promise<void>): Promise<void> {
  if (!isAway(error)) await back();
}

/** In place and tested, not served yet. */
async function put(served: Served, files: readonly ConfigFile[], run: Pick<Run, "warn">): Promise<Placed> {
  const before = await markerOf(served);
  // With the generation: a daemon that did not take over the new one needs no reload to serve the old one.
  const paths = [...files.map(({ path }) => path), served.place.generation];
  const old = await Promise.all(paths.map(async (path) => ({ path, content: await served.host.readFile(path) })));
  const back = async () => {
    await writeAll(served.host, old);
    const now = await markerOf(served);
    // Apache ends when it cannot open a port, and is started by the command that reloads it.
    const ended = before.state === "serving" && now.state === "down";
    if (ended || (now.state === "serving" && now.generation !== (await generationOnDisk(served)))) {
      await reloadAndProve(served, now).catch(() => {
        // What failed first is told; the undo of this step tries again.
      });
    }
  };
  try {
    await writeAll(served.host, files);
    // verify @server, before root has included its file: nobody reads what was written.
    if (before.state !== "serving") await newGeneration(served);
    else await testWhole(served, new Set(files.map(({ path }) => path)), run);
  } catch (error) {
    await backUnlessAway(error, back);
    throw error;
  }
  return { take: async () => (before.state === "serving" ? reloadAndProve(served, before) : undefined), back };
}

/** The undo kind `http_restore`: the old files, served again. What does not run is not started for it. */
export async function restoreFiles(served: Served, undone: readonly ConfigFile[]): Promise<void> {
  const { host, place } = served;
  // The journal knows null, not undefined.
  const files = undone.map(({ path, content }) => ({ path, content: content ?? undefined }));
  await withInnerLock(served.locks, lockName(served), async () => {
    await host.remove(place.candidate);
    for (const { path } of [...files, { path: place.generation }]) await host.remove(besidePath(path));
    const before = await markerOf(served);
    let changed = false;
    for (const file of files) if ((await host.readFile(file.path)) !== file.content) changed = true;
    await writeAll(host, files);
    const now = await markerOf(served);
    // By an old port or by the new one.
    if (before.state !== "serving" && now.state !== "serving") {
      if (changed && (await host.stat(place.include))) await newGeneration(served);
      return;
    }
    if (!changed && now.generation === (await generationOnDisk(served))) return;
    await testWhole(served, new Set(), { warn: () => {} });
    await reloadAndProve(served, now);
  });
}

export function lockName({ server }: Served): string {
  return `http.${server.slice(1)}`;
}

/** Files of sites stand where a candidate can be made of them; the others are the server's own. */
function sides({ place }: Served, files: readonly ConfigFile[]) {
  const ofSite = ({ path }: ConfigFile) => path.startsWith(`${place.vhosts}/`) || path.startsWith(`${place.subdirs}/`);
  return { siteFiles: files.filter(ofSite), serverFiles: files.filter((file) => !ofSite(file)) };
}

function needDaemon(served: Served, { state }: Marker): void {
  const { daemon, place, server } = served;
  if (state === "serving") return;
  throw new ProvisionError(
    "SERVICE_UNAVAILABLE",
    state === "down"
      ? `${daemon.label} of ${server} does not answer on port ${place.port}`
      : `what answers on port ${place.port} does not read the configuration of ${server}`,
    { state: "nothing was replaced", next: state === "down" ? [`start ${daemon.label}`] : [daemon.include(place)] },
  );
}

async function writeAll(host: Host, files: readonly ConfigFile[]): Promise<void> {
  for (const file of files) {
    await host.remove(file.path + BROKEN);
    if ((await host.readFile(file.path)) === file.content) continue;
    if (file.content === undefined) await host.remove(file.path);
    else {
      await host.mkdir(dirname(file.path));
      await host.writeFile(file.path, file.content);
    }
  }
}

/** What answers where the configuration that stands there listens: a server whose port is changed has to be found at the old one. */
async function markerOf(served: Served): Promise<Marker> {
  return readMarker(served.host, await portOnDisk(served));
}

/** The port that was last written; the context's, when nothing was. */
export async function portOnDisk({ host, place }: Pick<Served, "host" | "place">): Promise<number> {
  const text = await host.readFile(join(place.include, "default.conf"));
  return Number((text && /(?:listen |<VirtualHost \*:)(\d+)/.exec(text)?.[1]) ?? place.port);
}

export async function newGeneration({ host, daemon, place }: Served): Promise<string> {
  const generation = `${Date.now().toString(36)}-${randomBytes(4).toString("hex")}`;
  const { path, content = "" } = daemon.generationFile(place, generation);
  await host.writeFile(path, content);
  return generation;
}

async function generationOnDisk({ host, place }: Served): Promise<string | undefined> {
  const text = await host.readFile(place.generation);
  return text && new RegExp(`${MARKER_HEADER} "([^"]+)"`).exec(text)?.[1];
}

/** The sites' new files, tested apart from all others: one that is refused has never stood where the daemon looks. */
async function testCandidate(served: Served, files: readonly ConfigFile[]): Promise<void> {
  const { host, daemon, place } = served;
  const { siteFiles } = sides(served, files);
  const present = siteFiles.filter(({ content }) => content !== undefined);
  if (present.length === 0) return;
  const { code, output } = await candidateOutcome(served, await withParents(served, present));
  if (code === 0) return;
  throw new ProvisionError("CONFIGURATION", `${host.name}: ${daemon.label} refuses the new configuration`, {
    why: told(output, place),
    state: "nothing was replaced",
    next: daemon.advice(output, place),
  });
}

/** The vhost of a host includes its sub-directories: they are read only with it. */
async function withParents({ host, place }: Served, files: readonly ConfigFile[]): Promise<readonly ConfigFile[]> {
  const all = new Map(files.map((file) => [file.path, file]));
  for (const { path } of files) {
    if (!path.startsWith(`${place.subdirs}/`)) continue;
    const name = basename(dirname(path));
    for (const parent of [join(place.vhosts, `${name}.conf`), join(place.vhosts, `~${name}.conf`)]) {
      const content = all.has(parent) ? undefined : await host.readFile(parent);
      if (content !== undefined) all.set(parent, { path: parent, content });
    }
  }
  return [...all.values()];
}

async function candidateOutcome(served: Served, files: readonly ConfigFile[]) {
  const { host, daemon, place } = served;
  const { files: made, test } = daemon.candidate(place, await served.facts(), files, await served.test());
  await host.remove(place.candidate);
  try {
    for (const { path, content } of made) {
      await host.mkdir(dirname(path));
      if (content !== undefined) await host.writeFile(path, content);
    }
    const { code, stdout, stderr } = await host.run(test, { anyExit: true, timeout: COMMAND_TIMEOUT });
    return { code, output: stdout + stderr };
  } finally {
    await host.remove(place.candidate);
  }
}

/** The words of a failed test, without what only warns, with the paths that stay. */
function told(output: string, place: Place): readonly string[] {
  const lines = output
    .replaceAll(`${place.candidate}/`, `${place.root}/`)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/\[warn\]|AH00112|AH00558|test failed$|^Action '/.test(line));
  return lines.slice(-4);
}

/**
 * Test of everything as it now stands. A vhost of another site that does not pass any more (a certificate that is gone) is set
 * aside and answers 503, so that it holds up nobody; rejects with CONFIGURATION when the fault is elsewhere.
 */
async function testWhole(served: Served, ours: ReadonlySet<string>, run: Pick<Run, "warn">): Promise<void> {
  const { host, daemon, place } = served;
  const test = await served.test();
  const whole = async () => {
    const { code, stdout, stderr } = await host.run(test, { anyExit: true, timeout: COMMAND_TIMEOUT });
    if (code !== 0 && /^sudo: /m.test(stderr)) throw await notAllowed(served, stderr);
    return { passed: code === 0, output: stdout + stderr };
  };
  let result = await whole();
  if (result.passed) return;
  for (const { path, content, output } of await refusedAlone(served, await otherVhosts(served, ours), result.output)) {
    const instead = daemon.unavailable(place, content, await portOnDisk(served));
    if (instead === undefined || instead === content) continue;
    await host.writeFile(path + BROKEN, content);
    await host.writeFile(path, instead);
    run.warn(`${basename(path, ".conf")} answers 503 now: ${daemon.label} refuses its configuration (${told(output, place)[0] ?? ""})`);
    result = await whole();
    if (result.passed) return;
  }
  throw new ProvisionError("CONFIGURATION", `${host.name}: ${daemon.label} refuses its configuration as a whole`, {
    why: told(result.output, place),
    state: "what was served before is served on",
    next: daemon.advice(result.output, place),
  });
}

/** sudo itself said no: nothing was tested. */
async function notAllowed(served: Served, said: string): Promise<ProvisionError> {
  return new ProvisionError("PERMISSION_DENIED", `${served.user} may not test or reload ${served.daemon.label}`, {
    why: [said.trim()],
    state: "what was served before is served on",
    next: [`in /etc/sudoers.d/provision: ${sudoersLine(served.user, [await served.test(), await served.reload()])}`],
  });
}

interface Refused {
  readonly path: string;
  readonly content: string;
  readonly output: string;
}

/**
 * The vhosts that do not pass when they are read alone. Those that the failed test speaks of, or that name a path which it speaks of, are looked
 * at one by one; the others by halves, for there may be hundreds.
 */
async function refusedAlone(served: Served, paths: readonly string[], said: string): Promise<readonly Refused[]> {
  const texts = new Map<string, string>();
  for (const path of paths) {
    const text = await served.host.readFile(path);
    if (text !== undefined) texts.set(path, text);
  }
  const quoted = [...said.matchAll(/["'](\/[^"']+)["']/g)].map((match) => match[1] as string);
  const suspect = ([path, text]: readonly [string, string]) => said.includes(path) || quoted.some((word) => text.includes(word));
  const refused: Refused[] = [];
  const look = async (group: readonly (readonly [string, string])[]): Promise<void> => {
    if (group.length === 0) return;
    const files: ConfigFile[] = [];
    for (const [path, content] of group) files.push({ path, content }, ...(await belowOf(served, path)));
    const { code, output } = await candidateOutcome(served, files);
    if (code === 0) return;
    const [first] = group;
    if (group.length === 1 && first) {
      refused.push({ path: first[0], content: first[1], output });
      return;
    }
    const half = Math.ceil(group.length / 2);
    await look(group.slice(0, half));
    await look(group.slice(half));
  };
  const all = [...texts];
  for (const one of all.filter(suspect)) await look([one]);
  if (refused.length === 0) await look(all.filter((one) => !suspect(one)));
  return refused;
}

async function otherVhosts({ host, place }: Served, ours: ReadonlySet<string>): Promise<readonly string[]> {
  const names = (await host.list(place.vhosts)) ?? [];
  return names
    .filter((name) => name.endsWith(".conf"))
    .map((name) => join(place.vhosts, name))
    .filter((path) => !ours.has(path));
}

async function belowOf({ host, place }: Served, path: string): Promise<readonly ConfigFile[]> {
  const directory = join(place.subdirs, basename(path, ".conf").replace(/^~/, ""));
  const names = (await host.list(directory)) ?? [];
  return Promise.all(
    names
      .filter((name) => name.endsWith(".conf"))
      .map(async (name) => ({
        path: join(directory, name),
        content: await host.readFile(join(directory, name)),
      })),
  );
}

/** Vhosts that were set aside. */
export async function setAside({ host, place }: Served): Promise<readonly string[]> {
  const names = (await host.list(place.vhosts)) ?? [];
  return names.filter((name) => name.endsWith(`.conf${BROKEN}`)).map((name) => basename(name, `.conf${BROKEN}`));
}

/** Reloads by the configured command, and asks the daemon until it serves the generation that was written for it. */
async function reloadAndProve(served: Served, before: Marker): Promise<void> {
  const { host, daemon } = served;
  const old = daemon.leavesWorkers ? await workers(host, before.process) : [];
  const generation = await newGeneration(served);
  const command = await served.reload();
  try {
    await host.run(command, { timeout: COMMAND_TIMEOUT });
  } catch (error) {
    if (isAway(error)) throw error;
    throw new ProvisionError("SERVICE_UNAVAILABLE", `${host.name}: ${daemon.label} could not be reloaded`, {
      why: [messageOf(error), ...(error instanceof ProvisionError ? error.why : [])],
      cause: error,
    });
  }
  const deadline = Date.now() + served.patience;
  for (let proven = 0; ; ) {
    const now = await markerOf(served);
    proven = now.state === "serving" && now.generation === generation ? proven + 1 : 0;
    // Several, for old and new processes may take connections side by side for a moment.
    if (proven === 3) break;
    if (Date.now() >= deadline) throw unproven(served, now);
    if (proven === 0) await sleep(20);
  }
  if (!(await retired(host, old, deadline))) throw unproven(served, { state: "serving" });
}

function unproven({ daemon, place, server, patience }: Served, { state }: Marker): ProvisionError {
  const why = {
    down: `nothing answers on port ${place.port}`,
    foreign: `another program answers on port ${place.port}`,
    serving: `it goes on with what it had within ${patience / 1000} s; its error log says why`,
  }[state];
  return new ProvisionError(
    state === "foreign" ? "PORT_TAKEN" : "SERVICE_UNAVAILABLE",
    `${daemon.label} of ${server} did not take over its new configuration`,
    {
      why: [why],
    },
  );
}
