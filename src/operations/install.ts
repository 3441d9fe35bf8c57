import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { resolveSite, type SiteAndAll } from "../context/references.js";
import type { Site } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import { Secret } from "../core/secret.js";
import type { Operation, Step } from "../core/step.js";
import type { Core, Engine } from "../engines/engine.js";
import { detectCore } from "../engines/index.js";
import { makeCodeCache } from "../host/code-cache.js";
import { pipeBetween } from "../host/pipe.js";
import type { HttpProblem } from "../services/http/service.js";
import { gone, moved } from "../steps/files.js";
import { type BackupInputs, backupData, backupInputs, backupSteps, refuseNoRoom } from "./parts/backup.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { certificateSteps, refuseUnprovable } from "./parts/certificate.js";
import { filesMarker, onEach, refuseDown, refuseUnwell, spreadFiles } from "./parts/cluster.js";
import { contextFile } from "./parts/contexts.js";
import { siteLocks } from "./parts/locks.js";
import { poolSteps, refusePool } from "./parts/pool.js";
import { refuseConflicts, refuseForeignDatabase, refuseFullDisk, refuseLocked, siteState } from "./parts/preflight.js";
import {
  accountForCommands,
  accountForRequests,
  basicAuthSteps,
  clientLink,
  databaseOf,
  databaseProperties,
  filesLink,
  gateFile,
  generationDirectories,
  groupOfAll,
  hashSalt,
  memberDirectories,
  publish,
  publishCertificate,
  type SiteInputs,
  settingsFile,
  siteBaseline,
  siteCode,
  siteDirectories,
  siteEntries,
  siteInputs,
} from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends SiteInputs {
  readonly baseline: Baseline;
  readonly siteMail: string;
  /** What is installed and gives way, after a backup of it. */
  readonly former?: { readonly site: SiteInputs; readonly backup: BackupInputs; readonly aside: string };
  /** Directory of exported configuration that the site is installed from. */
  readonly configuration?: string;
}

export interface InstallArgs {
  readonly name: string;
  /** An installed site is backed up and installed anew. */
  readonly force?: boolean;
  /** Drupal 8+: directory of exported configuration that the site is installed from, absolute. */
  readonly configuration?: string;
}

/** Login links that came with an installation: a link is a secret, so it is no step's result, which the journal would keep. */
const LINKS = new WeakMap<Inputs, string>();

const ASKED = new WeakMap<Services, Map<string, Promise<readonly HttpProblem[]>>>();

/** Whether database and web server can be used: asked once, and as early as it is known which they are, since programs are started for it. */
function askServers({ webServer, dbServer }: Pick<SiteInputs, "webServer" | "dbServer">, use: Services): Promise<readonly HttpProblem[]> {
  const known = ASKED.get(use) ?? new Map<string, Promise<readonly HttpProblem[]>>();
  ASKED.set(use, known);
  const key = `${webServer.name} ${dbServer.name}`;
  const asked = known.get(key) ?? Promise.all([use.http(webServer).problems(), use.db(dbServer).reach()]).then(([problems]) => problems);
  known.set(key, asked);
  // Whoever waits for it hears of it.
  asked.catch(() => {});
  return asked;
}

/** A fresh site of the standard profile with SQLite takes 10 MB. */
const ROOM = 50 * 1024 * 1024;

/** Makes a site of its saved context: database, directories, settings, core's installer, vhost; undone whole when anything fails. */
export const install: Operation<InstallArgs, Inputs, Services> = {
  name: "install",
  recovery: "ask",

  async prepare({ name, force = false, configuration }, use, id) {
    const present = await resolveSite(use.store, use.settings, name, "all");
    const all = force ? withoutDatabase(present) : present;
    const { site, platform, server, webServer } = all;
    refuseOtherUser(server);
    await refuseDown(all, use);
    if (present.site.generation !== undefined && !force) {
      throw new ProvisionError("ALREADY_INSTALLED", `${name} is installed`, {
        state: await siteState(all, use),
        next: [`provision verify ${name}`, `provision install ${name} --force-reinstall --yes`, `provision delete ${name}`],
      });
    }
    if (present.site.generation !== undefined && all.cluster)
      throw new ProvisionError("REFUSED", `a site of a cluster (${all.cluster.name}) is not installed anew in its place in this version`, {
        state: "nothing was changed",
        next: [`provision delete ${name}    # takes a backup`, `provision install ${name}`],
      });
    await refuseConflicts(use, site);
    const host = use.host(server);
    const root = use.rootOf(all);
    if (!(await host.stat(root))) {
      throw new ProvisionError("FILE_NOT_FOUND", `the root of ${platform.name} does not exist: ${root}`, {
        next: [`provision verify ${platform.name}`],
      });
    }
    refuseLocked(platform);
    void askServers(all, use);
    const core = await detectCore(host, root);
    refuseForeignDatabase(use.engine(core.engine), all);
    if (!core.profiles.includes(site.profile)) {
      throw new ProvisionError("REFUSED", `${platform.name} has no install profile ${site.profile}`, {
        why: [`profiles there: ${core.profiles.join(", ")}`],
        next: [`provision save ${name} --profile=${core.profiles.includes("standard") ? "standard" : (core.profiles[0] ?? "…")}`],
      });
    }
    if (configuration !== undefined) await refuseConfiguration(use.engine(core.engine), site, configuration, use);
    const inputs = await siteInputs(use, all, core, id);
    const former = present.site.generation === undefined ? undefined : await formerOf(present, present.site.generation, core, use, id);
    refuseUnprovable(inputs);
    for (const place of [inputs, ...(inputs.others ?? [])]) {
      if (former === undefined) await refuseTaken(place, use);
      await refuseFullDisk(use.host(place.server), use.layoutOf(place.server).sites, ROOM);
    }
    const mail =
      site.site_mail ??
      webServer.admin_email ??
      `webmaster@${site.uri.split("/")[0]?.includes(".") ? site.uri.split("/")[0] : "localhost.localdomain"}`;
    return {
      inputs: {
        ...inputs,
        ...(former ? { former } : {}),
        ...(configuration === undefined ? {} : { configuration }),
        siteMail: mail,
        baseline: await siteBaseline(inputs, use),
      },
      locks: siteLocks(all),
    };
  },

  async preflight(inputs, use) {
    const { others = [] } = inputs;
    await refuseUnwell(inputs, use);
    const problems = (await askServers(inputs, use)).filter(({ blocks }) => blocks).map(({ message }) => message);
    if (problems.length > 0)
      throw new ProvisionError("SERVICE_UNAVAILABLE", `the web server of ${inputs.webServer.name} is not well`, { why: problems });
    if (inputs.former) await refuseNoRoom(inputs.former.site, use);
    for (const place of [inputs, ...others]) await refusePool(place, use);
    use.db(inputs.dbServer).beforehand?.(databaseOf(inputs, use, inputs.dbServer));
  },

  steps(inputs, use) {
    const { site, dbServer, generation, former } = inputs;
    const host = use.host(inputs.server);
    const db = use.db(dbServer);
    const database = databaseOf(inputs, use, dbServer);
    const salt = hashSalt(inputs, use);
    const made = madeDirectories(inputs, use);
    const each = (part: (at: SiteInputs) => readonly Step[]) => onEach<SiteInputs>(inputs, part);
    const access = (at: SiteInputs) => () => db.access(databaseOf(at, use, dbServer));
    return [
      ...each((at) => poolSteps(at, use)),
      ...(former
        ? [
            ...backupSteps(former.site, former.backup, use),
            moved(host, inputs.siteDirectory, former.aside, { id: "former/aside", title: `Set ${inputs.siteDirectory} aside` }),
          ]
        : []),
      ...each((at) => [at === inputs ? made : memberDirectories(at, use)]),
      ...(inputs.configuration === undefined ? [] : [configurationOf(inputs, inputs.configuration, use, made)]),
      ...each((at) => [gateFile(at, use)]),
      ...db.create(database),
      ...each((at) => [siteDirectories(at, use)]),
      salt,
      ...each((at) => [
        ...accountForCommands(at, use, access(at)),
        settingsFile(at, use, access(at), salt),
        filesLink(at, use),
        siteEntries(at, use),
      ]),
      engineInstall(inputs, use, made),
      // Core's installer takes write bits away and leaves settings.php readable by all (reference: engine.md d).
      { ...siteDirectories(inputs, use, "site/modes"), title: "Modes after the installer", undoneBy: made.id },
      {
        ...settingsFile(inputs, use, access(inputs), salt),
        id: "site/settings-mode",
        title: "settings.php after the installer",
        undoneBy: made.id,
      },
      ...each((at) => [clientLink(at, use)]),
      ...filesMarker(inputs, use),
      ...spreadFiles(inputs, use),
      ...each((at) => [...basicAuthSteps(at, use, at === inputs), ...accountForRequests(at, use, access(at))]),
      publish(inputs, use, site.site_enabled),
      ...each((at) => [answers(at, use)]),
      ...certificateSteps(inputs, use, true, (version) => publishCertificate(inputs, use, version)),
      ...each((at) => [groupOfAll(at, use, { phase: "finish" })]),
      contextFile(use, site.name, "site", new Map([["generation", generation], ...databaseProperties(database)]), {
        id: "context",
        title: `Save ${site.name}`,
        phase: "finish",
      }),
      ...(former ? removed(former, use) : []),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
  async data(inputs, run, use) {
    const login = LINKS.get(inputs) ?? (await use.engine(inputs.core.engine).login(siteCode(inputs, use), 1)).result.url;
    const { former } = inputs;
    const backup = former && backupData(backupSteps(former.site, former.backup, use), run.out);
    return {
      url: use.http(inputs.webServer).url(inputs.site.uri, inputs.site.ssl !== "off"),
      login,
      ...(backup?.["backup"] === undefined ? {} : { backup: backup["backup"] }),
    };
  },
  lines: ({ url, login }) => [`URL    ${String(url)}/`, `Login  ${String(login)}`],
};

/** A new generation has a database of its own. */
function withoutDatabase(all: SiteAndAll): SiteAndAll {
  const { generation: _generation, db_name: _name, db_user: _user, ...site } = all.site;
  return { ...all, site };
}

async function formerOf(
  all: SiteAndAll,
  generation: string,
  core: Core,
  use: Services,
  id: string,
): Promise<NonNullable<Inputs["former"]>> {
  const site = await siteInputs(use, all, core, generation);
  return { site, backup: backupInputs(use, all.site.uri, id, "install"), aside: `${site.siteDirectory}~${generation}` };
}

/** What was installed before: its database, its files and its directory. */
function removed({ site, aside }: NonNullable<Inputs["former"]>, use: Services): readonly Step[] {
  return [
    ...use.db(site.dbServer).drop(databaseOf(site, use, site.dbServer)),
    gone(use.host(site.server), [aside, site.paths.root], {
      id: "former/remove",
      title: `Remove generation ${site.generation}`,
      phase: "finish",
    }),
  ];
}

/** Names that a new site needs must be free: what stands there belongs to another, or to a site that was lost sight of. */
async function refuseTaken(inputs: SiteInputs, use: Services): Promise<void> {
  const host = use.host(inputs.server);
  if (await host.stat(inputs.siteDirectory)) {
    throw new ProvisionError("NAME_TAKEN", `${host.name}:${inputs.siteDirectory} is there already`, {
      why: ["it may hold a site that provision does not know; it is not touched"],
      next: ["move it away, or choose another uri"],
    });
  }
}

/** The generation carries the operation's id, so that its undo may take away all of it; the site's directory was refused when there. */
function madeDirectories(inputs: SiteInputs, use: Services): Step {
  const step = generationDirectories(inputs, use);
  const host = use.host(inputs.server).name;
  return {
    ...step,
    async check(run) {
      const { changes, undo = [] } = await step.check(run);
      return {
        changes,
        undo: [
          ...undo,
          { do: "remove_directory", host, path: use.layoutOf(inputs.server).siteGenerations(inputs.site.uri) },
          { do: "remove_tree", host, path: inputs.paths.root },
          { do: "remove_tree", host, path: inputs.siteDirectory },
        ],
      };
    },
  };
}

/** Rejects with REFUSED: a core without exported configuration, none in the directory, or that of another profile. */
async function refuseConfiguration(engine: Engine, site: Site, directory: string, use: Services): Promise<void> {
  if (!engine.configDirectories.includes("sync"))
    throw new ProvisionError("REFUSED", `${engine.label} installs no exported configuration`, {
      next: [`provision install ${site.name}`],
    });
  const text = await use.local.readFile(join(directory, "core.extension.yml"));
  if (text === undefined)
    throw new ProvisionError("REFUSED", `${directory} holds no exported configuration: there is no core.extension.yml in it`);
  const profile = /^profile: *['"]?([A-Za-z0-9_]+)/m.exec(text)?.[1];
  if (profile !== site.profile)
    throw new ProvisionError(
      "REFUSED",
      `the configuration in ${directory} is of the profile ${profile ?? "none"}, ${site.name} of ${site.profile}`,
      {
        next: profile === undefined ? [] : [`provision save ${site.name} --profile=${profile}`],
      },
    );
}

/** Exported configuration becomes the site's own. */
function configurationOf({ server, paths: { configSync } }: Inputs, directory: string, use: Services, made: Step): Step {
  return {
    id: "site/configuration",
    title: "Exported configuration",
    undoneBy: made.id,
    check: async () => ({ changes: [`copy ${directory} to ${configSync}`] }),
    async apply() {
      // What links lead to, under our own modes.
      const pack = ["tar", "--create", "--file=-", "--dereference", "--mode=u=rwX,go=rX", `--directory=${directory}`, "."] as const;
      const unpack = ["tar", "--extract", "--file=-", "--no-same-owner", "--no-same-permissions", "--no-overwrite-dir"] as const;
      await pipeBetween(use.local, pack, use.host(server), [...unpack, `--directory=${configSync}`], { timeout: 600_000 });
      return null;
    },
  };
}

function engineInstall(inputs: Inputs, use: Services, made: Step): Step {
  const { site, siteMail, webServer } = inputs;
  const engine: Engine = use.engine(inputs.core.engine);
  return {
    id: "engine/install",
    title: `Install ${engine.label} with profile ${site.profile}${inputs.configuration === undefined ? "" : " from its configuration"}`,
    undoneBy: made.id,
    async check() {
      return { changes: [`install ${site.profile} (${site.language})`] };
    },
    async apply(run) {
      const code = siteCode(inputs, use);
      if (code.codeCache !== undefined) await makeCodeCache(code.host, code.codeCache, use.operations.locks);
      const installing = engine.install(code, {
        profile: site.profile,
        existingConfig: inputs.configuration !== undefined,
        language: site.language,
        siteName: site.site_name ?? site.uri,
        siteMail,
        // Nobody needs to know it: the first login is by a one-time link.
        account: { name: "admin", mail: siteMail, password: new Secret(randomBytes(24).toString("base64url")) },
      });
      // Not before core's installer runs, which what is loaded for this would hold up.
      const soon = setTimeout(() => use.http(webServer).standby?.(code), 60);
      const { result, warnings } = await installing.finally(() => clearTimeout(soon));
      if (result.login !== undefined) LINKS.set(inputs, result.login);
      for (const warning of warnings) run.warn(`core: ${warning}`);
      return null;
    },
  };
}

/** The site answers before it counts as installed. */
function answers(inputs: SiteInputs, use: Services): Step {
  const { site, webServer } = inputs;
  const url = use.http(webServer).url(site.uri, site.ssl !== "off");
  return {
    id: "http/probe",
    title: `GET ${url}/`,
    undoneBy: "http/activate",
    async check() {
      return { changes: ["fetch the front page"] };
    },
    async apply() {
      const answer = await use.http(webServer).request({ uri: site.redirection ?? site.uri, path: "/", tls: site.ssl === "required" });
      // An access-denied front page (403) is a page all the same; a disabled site says so with 503.
      const right = site.site_enabled
        ? answer.status < 500 && answer.status !== 404 && !answer.headers["location"]?.includes("install.php")
        : answer.status === 503;
      if (!right) {
        throw new ProvisionError("PROBE_FAILED", `GET ${url}/ answered ${answer.status}`, { why: firstLines(answer.body) });
      }
      return { status: answer.status, ms: answer.ms };
    },
  };
}

function firstLines(html: string): readonly string[] {
  const text = html.replace(/<(script|style)[\s\S]*?<\/\1>/g, "").replace(/<[^>]*>/g, " ");
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(0, 3);
}
