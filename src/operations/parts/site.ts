import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { DatabaseAccess } from "../../context/database-access.js";
import type { GenerationPaths } from "../../context/layout.js";
import { clientWord, siteName } from "../../context/names.js";
import type { SiteAndAll } from "../../context/references.js";
import type { Server } from "../../context/schema.js";
import { ProvisionError } from "../../core/errors.js";
import { Secret } from "../../core/secret.js";
import type { Step } from "../../core/step.js";
import type { Core, SiteCode } from "../../engines/engine.js";
import type { Host } from "../../host/host.js";
import type { DatabaseOf } from "../../services/db/service.js";
import type { ConfigFile, Vhost } from "../../services/http/service.js";
import { phpProgram } from "../../services/php.js";
import { directories, file, symlink, undoParents } from "../../steps/files.js";
import type { Services } from "../services.js";
import { type Entries, namesOfDirectory, sitesPhpEntries } from "./sites-php.js";

/** Everything decided of one site before its steps: JSON, so that a resumed run has the same. */
export interface SiteInputs extends SiteAndAll {
  readonly core: Core;
  readonly generation: string;
  readonly paths: GenerationPaths;
  /** Name below the platform's sites/. */
  readonly directory: string;
  /** That directory, absolute. */
  readonly siteDirectory: string;
  /** What visitors called the site until now and shall no longer: aliases that were taken out of the context. */
  readonly formerNames: readonly string[];
  /** Group id of the web server; undefined: left as it comes. */
  readonly gid?: number;
  /** Of the build that the platform is; undefined for a directory that provision did not build. */
  readonly codeCache?: string;
}

/** Group id by name; undefined for no name. Rejects with CONFIGURATION when there is no such group. */
async function groupId(host: Host, name: string | undefined, server: Server): Promise<number | undefined> {
  if (name === undefined) return undefined;
  const { code, stdout } = await host.run(["getent", "group", name], { anyExit: true });
  const id = Number(stdout.split(":")[2]);
  if (code === 0 && Number.isInteger(id)) return id;
  throw new ProvisionError("CONFIGURATION", `${host.name}: there is no group ${name}`, {
    next: [`provision save ${server.name} --web_group=…`],
  });
}

export async function siteInputs(use: Services, all: SiteAndAll, core: Core, generation: string): Promise<SiteInputs> {
  const directory = siteName(all.site.uri);
  const gid = await groupId(use.host(all.webServer), all.webServer.web_group, all.webServer);
  const entered = await namesOfDirectory({ host: use.host(all.server), engine: use.engine(core.engine), docroot: core.docroot }, directory);
  const names = namesOf({ site: all.site, directory });
  const codeCache = await codeCacheOf(use, use.host(all.server), core);
  return {
    ...all,
    core,
    generation,
    paths: use.layout.generation(all.site.uri, generation),
    directory,
    siteDirectory: join(core.docroot, "sites", directory),
    formerNames: entered.filter((name) => !(name in names)),
    ...(gid === undefined ? {} : { gid }),
    ...(codeCache === undefined ? {} : { codeCache }),
  };
}

async function codeCacheOf({ layout }: Services, host: Host, core: Core): Promise<string | undefined> {
  const builds = await host.realPath(layout.builds);
  const docroot = await host.realPath(core.docroot);
  if (builds === undefined || !docroot?.startsWith(`${builds}/`)) return undefined;
  return layout.codeCache(docroot.slice(builds.length + 1).split("/")[0] as string);
}

export function databaseOf({ site, generation, paths }: SiteInputs, use: Services, dbServer: Server): DatabaseOf {
  return { uri: site.uri, generation, paths, names: use.db(dbServer).names(site.uri, generation) };
}

/** The site as the engine meets it. */
export function siteCode(inputs: SiteInputs, use: Services): SiteCode {
  return {
    host: use.host(inputs.server),
    php: phpProgram(inputs.platform.php ?? inputs.webServer.php),
    docroot: inputs.core.docroot,
    uri: inputs.site.uri,
    directory: inputs.directory,
    url: use.http(inputs.webServer).url(inputs.site.uri),
    ...(inputs.codeCache === undefined ? {} : { codeCache: inputs.codeCache }),
  };
}

function vhostOf(inputs: SiteInputs, use: Services, enabled: boolean): Vhost {
  const { site, platform, webServer, core, paths } = inputs;
  return {
    uri: site.uri,
    aliases: site.aliases,
    redirection: site.redirection,
    enabled,
    docroot: core.docroot,
    directory: inputs.directory,
    generation: inputs.generation,
    files: paths.files,
    private: paths.private,
    frontControllers: use.engine(core.engine).frontControllers,
    php: phpProgram(platform.php ?? webServer.php),
  };
}

/** What visitors may call the site, in sites.php. */
function namesOf({ site, directory }: Pick<SiteInputs, "site" | "directory">): Entries {
  return Object.fromEntries([siteName(site.uri), ...site.aliases].map((name) => [name, directory]));
}

function grouped(inputs: SiteInputs, mode: number): { mode: number; gid?: number } {
  return inputs.gid === undefined ? { mode } : { mode, gid: inputs.gid };
}

/** The site's own directories of this generation, outside the code: PHP writes in them through the group (reference: engine.md d). */
export function generationDirectories(inputs: SiteInputs, use: Services): Step {
  const { paths, site } = inputs;
  const { root } = paths;
  return directories(
    use.host(inputs.server),
    [
      { path: use.layout.siteGenerations(site.uri), ownership: { mode: 0o711 } },
      { path: root, ownership: grouped(inputs, 0o750) },
      { path: paths.files, ownership: grouped(inputs, 0o2770) },
      { path: paths.private, ownership: grouped(inputs, 0o2770) },
      { path: paths.tmp, ownership: grouped(inputs, 0o2770) },
      { path: join(root, "config"), ownership: grouped(inputs, 0o750) },
      { path: paths.configSync, ownership: grouped(inputs, 0o2770) },
    ],
    { id: "site/directories", title: `Directories of ${site.uri}` },
  );
}

/** `sites/<uri>` on the platform: settings.php, the site's own code, a link to its files. */
export function siteDirectories(inputs: SiteInputs, use: Services, id = "site/code"): Step {
  const { siteDirectory } = inputs;
  return directories(
    use.host(inputs.server),
    [
      { path: siteDirectory, ownership: grouped(inputs, 0o750) },
      ...["modules", "themes", "libraries"].map((name) => ({ path: join(siteDirectory, name), ownership: grouped(inputs, 0o750) })),
    ],
    { id, title: `Directory ${siteDirectory}` },
  );
}

/** The hash salt, made once and kept in secrets/: a verify never changes it, so that no session or login link is lost. */
export function hashSalt({ site }: SiteInputs, use: Services): Step {
  const path = use.layout.secretsFile(site.name);
  return {
    id: "site/hash-salt",
    title: "Hash salt in secrets",
    async check() {
      if (await use.secrets.get(site.name, "hash_salt")) return { changes: [] };
      const stat = await use.local.stat(path);
      return {
        changes: ["make a hash salt"],
        undo: [
          stat
            ? { do: "restore_file", host: use.local.name, path, before: "secrets", mode: stat.mode, uid: stat.uid, gid: stat.gid }
            : { do: "restore_file", host: use.local.name, path, before: null },
        ],
        before: stat ? [{ name: "secrets", host: use.local.name, path }] : [],
      };
    },
    async apply() {
      // An apply that a kill cut short may have written it.
      if (await use.secrets.get(site.name, "hash_salt")) return null;
      const salt = new Secret(randomBytes(48).toString("base64url"));
      const text = await use.secrets.changed(site.name, new Map([["hash_salt", salt]]));
      if (text) await use.local.writeFile(path, text, { mode: 0o600 });
      return null;
    },
  };
}

/** settings.php, never readable by others than the web server's group; the same inputs give the same bytes. */
export function settingsFile(inputs: SiteInputs, use: Services, access: () => Promise<DatabaseAccess>, salt: Step): Step {
  const { site, core, generation, paths } = inputs;
  return file(
    use.host(inputs.server),
    join(inputs.siteDirectory, "settings.php"),
    async (run) => {
      const hashSalt = await use.secrets.get(site.name, "hash_salt");
      if (!hashSalt) {
        run.need(salt);
        throw new ProvisionError("FAILED", `the hash salt of ${site.name} is not in ${use.layout.secretsFile(site.name)}`);
      }
      return use.engine(core.engine).settings({
        uri: site.uri,
        aliases: site.aliases,
        generation,
        paths,
        database: await access(),
        hashSalt,
      });
    },
    grouped(inputs, 0o440),
    { id: "site/settings", title: "settings.php" },
  );
}

export function filesLink(inputs: SiteInputs, use: Services): Step {
  return symlink(use.host(inputs.server), join(inputs.siteDirectory, "files"), inputs.paths.files, {
    id: "site/files",
    title: "Link to the files of this generation",
  });
}

export function siteEntries(inputs: SiteInputs, use: Services): Step {
  const { core, server } = inputs;
  return sitesPhpEntries(
    { host: use.host(server), engine: use.engine(core.engine), docroot: core.docroot, locks: use.operations.locks },
    async () => ({ ...Object.fromEntries(inputs.formerNames.map((name) => [name, null])), ...namesOf(inputs) }),
    { id: "site/names", title: "Names in sites.php" },
  );
}

/** `clients/<client>/<uri>` → the site's directory, as in Aegir. */
export function clientLink(inputs: SiteInputs, use: Services): Step {
  const link = use.layout.clientSite(clientWord(inputs.client.name), inputs.site.uri);
  const step = symlink(use.local, link, inputs.siteDirectory, { id: "site/client", title: `Link for ${inputs.client.name}` });
  return {
    ...step,
    async check(run) {
      const { changes, undo = [] } = await step.check(run);
      return { changes, undo: [...(await undoParents(use.local, link)), ...undo] };
    },
    async apply() {
      await use.local.mkdir(join(link, ".."), { mode: 0o750 });
      await use.local.symlink(inputs.siteDirectory, link);
      return null;
    },
  };
}

export function publish(inputs: SiteInputs, use: Services, enabled: boolean): Step {
  const http = use.http(inputs.webServer);
  return http.activate("http/activate", `Vhost of ${inputs.site.uri}${enabled ? "" : " (disabled)"}`, siteConfig(inputs, use, enabled));
}

/** The site's files of the web server; those of names it no longer has are absent. */
function siteConfig(inputs: SiteInputs, use: Services, enabled: boolean): readonly ConfigFile[] {
  const http = use.http(inputs.webServer);
  return [...http.siteFiles(vhostOf(inputs, use, enabled)), ...http.noSiteFiles(inputs.formerNames)];
}

/** Files and links a verify or install may write, for the baseline. */
export function sitePaths(inputs: SiteInputs, use: Services): readonly string[] {
  const { siteDirectory, paths, site } = inputs;
  return [
    siteDirectory,
    join(siteDirectory, "settings.php"),
    join(siteDirectory, "files"),
    paths.root,
    paths.files,
    use.layout.contextFile(site.name),
    use.layout.secretsFile(site.name),
    use.layout.clientSite(clientWord(inputs.client.name), site.uri),
    ...siteConfig(inputs, use, true).map(({ path }) => path),
  ];
}
