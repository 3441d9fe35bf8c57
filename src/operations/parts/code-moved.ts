import { ProvisionError } from "../../core/errors.js";
import type { Step } from "../../core/step.js";
import type { Core, Engine, SiteCode, Update } from "../../engines/engine.js";
import { makeCodeCache } from "../../host/code-cache.js";
import type { Host } from "../../host/host.js";
import type { Services } from "../services.js";
import { hasOwnCode } from "./generation.js";
import type { SiteInputs } from "./site.js";

/** A pair of engine.rewritePaths. */
export interface Pair {
  readonly from: string;
  readonly to: string;
}

/** Which profile of a platform a site of `profile` runs on: the same, or the one that names it as its former name; undefined: none. */
async function profileOn(host: Host, core: Core, profile: string): Promise<string | undefined> {
  if (core.profiles.includes(profile)) return profile;
  for (const name of core.profiles) {
    for (const place of [`profiles/${name}`, `core/profiles/${name}`]) {
      for (const end of ["info", "info.yml"]) {
        const text = await host.readFile(`${core.docroot}/${place}/${name}.${end}`);
        const said = /^[ \t]*old_short_name[ \t]*[=:][ \t]*["']?([a-z0-9_]+)["']?[ \t]*\r?$/m.exec(text ?? "")?.[1];
        if (said === profile) return name;
      }
    }
  }
  return undefined;
}

/** What has to be known of a site that is to run on another core: it may be one that is only in a backup. */
export interface Running {
  readonly site: { readonly name: string; readonly profile: string };
  readonly core: Pick<Core, "engine" | "version">;
}

/** Core, profile and platform take this site. Rejects with what stands in the way, before anything is made. */
export async function refuseCore(
  now: Running,
  target: { readonly core: Core; readonly name: string; readonly host: Host },
  use: Services,
): Promise<string> {
  const { core, name, host } = target;
  const { site } = now;
  if (core.engine !== now.core.engine)
    throw new ProvisionError(
      "REFUSED",
      `${site.name} runs on ${use.engine(now.core.engine).label}, and ${name} is ${use.engine(core.engine).label}`,
      {
        why: ["updates lead from one version of a core to the next, not from one core to another"],
        state: "nothing was changed",
      },
    );
  if (older(core.version, now.core.version))
    throw new ProvisionError("REFUSED", `${name} has ${core.version}, which is older than the ${now.core.version} of ${site.name}`, {
      why: ["a database that was updated cannot be used by older code"],
      state: "nothing was changed",
      next: [`provision rollback ${site.name} --list    # when it was newer before`],
    });
  const profile = await profileOn(host, core, site.profile);
  if (profile === undefined)
    throw new ProvisionError("REFUSED", `${name} has no install profile ${site.profile}, nor one that names it as its old_short_name`, {
      why: [`profiles there: ${core.profiles.join(", ")}`],
      state: "nothing was changed",
    });
  return profile;
}

/** `10.4.9` comes before `10.10`; what stands behind a number (`-dev`, `-rc1`) before the number alone. */
function older(a: string, b: string): boolean {
  const parts = (version: string) => version.split(/[.+-]/).map((part) => (/^\d+$/.test(part) ? Number(part) : -1));
  const [left, right] = [parts(a), parts(b)];
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** What names the site's files and pages under its old name or in its old generation, and how they are called now. */
export function pathPairs(now: SiteInputs, next: SiteInputs, use: Services): readonly Pair[] {
  const pairs: Pair[] = [];
  if (now.paths.root !== next.paths.root) pairs.push({ from: now.paths.root, to: next.paths.root });
  if (now.directory !== next.directory) pairs.push({ from: `sites/${now.directory}`, to: `sites/${next.directory}` });
  if (now.site.uri !== next.site.uri) {
    const [from, to] = [now, next].map(({ site, webServer }) =>
      ["http", "https"].map(
        (scheme) =>
          `${scheme}://${
            use
              .http(webServer)
              .url(site.uri, scheme === "https")
              .split("://")[1]
          }`,
      ),
    );
    for (const [index, url] of (from ?? []).entries()) pairs.push({ from: url, to: to?.[index] ?? "" });
  }
  return pairs;
}

const UNDONE = { undoneBy: "database/create" } as const;

/** The profile under its new name, lists of files and caches made anew: what a database needs before new code may run on it. */
export function codeMoved(
  engine: Engine,
  code: SiteCode,
  { operations }: Pick<Services, "operations">,
  profile: { readonly from: string; readonly to: string },
  more: Partial<Pick<Step, "undoneBy" | "phase">> = UNDONE,
): readonly Step[] {
  return [
    ...(profile.from === profile.to
      ? []
      : [
          {
            id: "engine/profile",
            title: `The profile ${profile.from} is ${profile.to}`,
            ...more,
            check: async () => ({ changes: [`rename the profile ${profile.from} to ${profile.to}`] }),
            async apply(run) {
              told(run, await engine.renameProfile(code, profile));
              return null;
            },
          } satisfies Step,
        ]),
    {
      id: "engine/rebuild",
      title: "Files, registry and caches of the new code",
      ...more,
      check: async () => ({ changes: ["make lists of files and caches anew"] }),
      async apply(run) {
        await compiled(code, operations.locks);
        told(run, await engine.rebuild(code));
        return null;
      },
    },
  ];
}

/** What is compiled for the first that asks the core serves updates and all that follows. */
async function compiled({ host, codeCache }: SiteCode, locks: string): Promise<void> {
  if (codeCache !== undefined) await makeCodeCache(host, codeCache, locks);
}

/**
 * Whether a site that is given another name, or copied under one, has all its code where it was: the platform stays, and below sites/ it has none. Then
 * only caches tell of the old place.
 */
export async function codeStays(now: SiteInputs, next: SiteInputs, use: Services): Promise<boolean> {
  if (now.core.docroot !== next.core.docroot || now.server.name !== next.server.name || now.site.profile !== next.site.profile)
    return false;
  return !(await hasOwnCode(now, use));
}

/** Runs all that waits. Rejects with UPDATEDB_FAILED. */
export function updates(engine: Engine, code: SiteCode): Step<{ readonly ran: readonly string[] }> {
  return {
    id: "engine/update",
    title: "Database updates",
    ...UNDONE,
    check: async () => ({ changes: ["run the updates of the new code"] }),
    async apply(run) {
      const { ran } = told(run, await engine.update(code));
      return { ran: ran.map(({ name }: Update) => name) };
    },
  };
}

/** Paths and URLs in the database say what they are now; what could not be changed safely is told. */
export function paths(
  engine: Engine,
  code: SiteCode,
  pairs: readonly Pair[],
  more: Partial<Pick<Step, "undoneBy" | "phase">> = UNDONE,
): readonly Step[] {
  return pairs.length === 0 ? [] : [rewritten(engine, code, pairs, { title: "Paths in the database" }, more)];
}

/**
 * All that the database of a site under another name says of the old one. `stays`: codeStays, else lists of files are made anew first, and `between` comes
 * before paths. `newKeys`: it is a copy, with keys of its own.
 */
export function renamed(
  engine: Engine,
  code: SiteCode,
  use: Pick<Services, "operations">,
  {
    stays,
    profile,
    pairs,
    between = [],
    newKeys = false,
  }: {
    readonly stays: boolean;
    readonly profile: { readonly from: string; readonly to: string };
    readonly pairs: readonly Pair[];
    readonly between?: readonly Step[];
    readonly newKeys?: boolean;
  },
  more: Partial<Pick<Step, "undoneBy" | "phase">> = UNDONE,
): readonly Step[] {
  const title = [...(stays ? ["Caches"] : []), stays ? "paths" : "Paths", ...(newKeys ? ["keys"] : [])];
  const told = `${title.slice(0, -1).join(", ")}${title.length > 1 ? " and " : ""}${title.at(-1)} in the database`;
  const step = rewritten(engine, code, pairs, { title: told, fresh: stays, newKeys }, more);
  if (!stays) return [...codeMoved(engine, code, use, profile, more), ...between, step];
  return [
    {
      ...step,
      async apply(run) {
        await compiled(code, use.operations.locks);
        return step.apply(run);
      },
    },
  ];
}

function rewritten(
  engine: Engine,
  code: SiteCode,
  pairs: readonly Pair[],
  { title, fresh = false, newKeys = false }: { readonly title: string; readonly fresh?: boolean; readonly newKeys?: boolean },
  more: Partial<Pick<Step, "undoneBy" | "phase">>,
): Step {
  return {
    id: "engine/paths",
    title,
    ...more,
    check: async () => ({
      changes: [
        ...(fresh ? ["empty all caches"] : []),
        ...pairs.map(({ from, to }) => `${from} becomes ${to}`),
        ...(newKeys ? ["make a new private key and key of cron"] : []),
      ],
    }),
    async apply(run) {
      const { changed, left } = told(run, await engine.rewritePaths(code, { pairs, fresh, newKeys }));
      for (const { where, count } of left) run.warn(`${where} still names what is called otherwise now (${count}); look at it by hand`);
      return { changed: changed.map(({ where, count }) => `${where}: ${count}`) };
    },
  };
}

/** What the core said beside its answer is a warning. */
export function told<T>(run: { warn(message: string): void }, answer: { readonly result: T; readonly warnings: readonly string[] }): T {
  for (const warning of answer.warnings) run.warn(`core: ${warning}`);
  return answer.result;
}
