import { join } from "node:path";
import { resolveSite } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import { Secret } from "../core/secret.js";
import type { Operation, Run, Step } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import { isAway } from "../host/host.js";
import type { DatabaseOf } from "../services/db/service.js";
import { file } from "../steps/files.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { certificateSteps, formerCertificates, refuseUnprovable } from "./parts/certificate.js";
import { filesMarker, onEach, refuseDown, refuseUnwell, spreadFiles } from "./parts/cluster.js";
import { contextFile } from "./parts/contexts.js";
import { siteLocks } from "./parts/locks.js";
import { dropPoolUsers, leavePools, poolSteps, refusePool, reloadPhp, reloadPhpUndo } from "./parts/pool.js";
import { generationOf, refuseConflicts, siteState } from "./parts/preflight.js";
import {
  accountForCommands,
  accountForRequests,
  basicAuthSteps,
  clientLink,
  databaseOf,
  databaseProperties,
  filesLink,
  formerAccounts,
  formerGroup,
  gateFile,
  generationDirectories,
  groupOfAll,
  hashSalt,
  isCloaked,
  memberDirectories,
  publish,
  publishCertificate,
  type SiteInputs,
  settingsFile,
  siteBaseline,
  siteDirectories,
  siteEntries,
  siteInputs,
} from "./parts/site.js";
import { refuseOtherUser, type Services } from "./services.js";

interface Inputs extends SiteInputs {
  /** The site's database, by the account that it is to have. */
  readonly database: DatabaseOf;
  /** That account is a new one, and what GET / answered before it was made; null: nothing. */
  readonly rotation?: { readonly status: number | null };
  /** settings.php is somebody else's: it is kept beside the site's data before ours takes its place. */
  readonly foreignSettings: boolean;
  readonly baseline: Baseline;
}

export interface VerifySiteArgs {
  readonly name: string;
  /** Give the database a new account with a new password. */
  readonly rotatePassword?: boolean;
}

/**
 * Makes everything of an installed site as its context says: directories, modes, settings, names, vhost, certificate. A second run changes nothing.
 *
 * A new password is a new account beside the old one: both work until settings.php names the new one and PHP has been
 * reloaded, so no request meets a closed door. The old one goes when nobody is logged in by it any more.
 */
export const verifySite: Operation<VerifySiteArgs, Inputs, Services> = {
  name: "verify-site",
  recovery: "automatic",

  async prepare({ name, rotatePassword = false }, use, id) {
    const all = await resolveSite(use.store, use.settings, name, "all");
    refuseOtherUser(all.server);
    await refuseDown(all, use);
    const generation = generationOf(all.site);
    await refuseConflicts(use, all.site);
    const core = await detectCore(use.host(all.server), use.rootOf(all));
    const inputs = await siteInputs(use, all, core, generation);
    refuseUnprovable(inputs);
    const db = use.db(all.dbServer);
    const present = databaseOf(inputs, use, all.dbServer);
    const names = rotatePassword ? db.nextNames(present.names, id) : undefined;
    if (rotatePassword && names === undefined)
      throw new ProvisionError("USAGE", `--rotate-password is for databases with accounts; ${all.dbServer.name} has ${db.type}`);
    if (!(await db.exists(present))) {
      throw new ProvisionError("NOT_INSTALLED", `the database of ${name} is gone`, {
        state: `its files are in ${inputs.paths.root}`,
        next: [`provision delete ${name} --no-backup --yes    # takes away what is left`],
      });
    }
    const rotation = names && { status: await frontPage(inputs, use) };
    const database = names ? { ...present, names } : present;
    return {
      inputs: {
        ...inputs,
        account: database.names,
        database,
        ...(rotation ? { rotation } : {}),
        foreignSettings: await hasForeignSettings(inputs, use),
        baseline: await siteBaseline(inputs, use),
      },
      locks: siteLocks(all),
    };
  },

  async preflight(inputs, use) {
    await refuseUnwell(inputs, use);
    for (const place of [inputs, ...(inputs.others ?? [])]) await refusePool(place, use);
  },

  steps(inputs, use) {
    const { site, database, rotation, foreignSettings } = inputs;
    const db = use.db(inputs.dbServer);
    const salt = hashSalt(inputs, use);
    const account = rotation ? newAccount(inputs, use) : [];
    const [password] = account;
    const access = (at: SiteInputs) => async (run: Run) => {
      // In a dry run nobody has made it.
      if (password && (await password.check(run)).changes.length > 0) run.need(password);
      return db.access({ ...databaseOf(at, use, at.dbServer), names: database.names });
    };
    const settings = (at: SiteInputs) => settingsFile(at, use, access(at), salt);
    const each = (part: (at: SiteInputs) => readonly Step[]) => onEach<SiteInputs>(inputs, part);
    return [
      ...each((at) => [
        ...poolSteps(at, use),
        at === inputs ? generationDirectories(at, use) : memberDirectories(at, use),
        gateFile(at, use),
      ]),
      ...(foreignSettings ? [keptSettings(inputs, use)] : []),
      ...each((at) => [siteDirectories(at, use)]),
      salt,
      ...account,
      ...each((at) => [
        ...accountForCommands(at, use, access(at)),
        ...accountForRequests(at, use, access(at)),
        // Who takes the account out of settings.php has the web server tell it before, and who puts it in takes it from there after.
        ...(isCloaked(at) ? [] : [settings(at)]),
        filesLink(at, use),
        siteEntries(at, use),
      ]),
      ...each((at) => [clientLink(at, use)]),
      ...filesMarker(inputs, use),
      ...spreadFiles(inputs, use),
      ...each((at) => [...basicAuthSteps(at, use, at === inputs), groupOfAll(at, use, { former: formerGroup(at) })]),
      publish(inputs, use, inputs.site.site_enabled),
      ...each((at) => [...(isCloaked(at) ? [settings(at)] : []), ...leavePools(at, use)]),
      // An authority that is down, or does not find a new name yet, is no reason to take all this back.
      ...certificateSteps(inputs, use, true, (version) => publishCertificate(inputs, use, version)),
      ...(rotation ? each((at) => [reloaded(at, use), answersAsBefore(at, use, rotation.status)]) : []),
      ...each((at) => [...formerAccounts(at, use), ...dropPoolUsers(at, use)]),
      ...(rotation
        ? [
            contextFile(use, site.name, "site", databaseProperties(database), {
              id: "context",
              title: `Save ${site.name}`,
              phase: "finish",
            }),
          ]
        : db.account(database)),
      ...db.dropFormer(database),
      ...each((at) => formerCertificates(at, use)),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
};

/** What stood there before provision: by hand, by Aegir, by another hub. Missing or unreadable: nothing to keep. */
async function hasForeignSettings({ site, generation, siteDirectory, server }: SiteInputs, use: Services): Promise<boolean> {
  const text = await use.host(server).readFile(join(siteDirectory, "settings.php"));
  return text !== undefined && !text.includes(`Written by provision for ${site.uri}, generation ${generation}.`);
}

function keptSettings({ site, siteDirectory, paths, server, generation }: SiteInputs, use: Services): Step {
  const host = use.host(server);
  const kept = join(paths.root, "settings.before.php");
  return file(
    host,
    kept,
    async () => {
      const text = await host.readFile(join(siteDirectory, "settings.php"));
      // A resumed run may have written ours already.
      const ours = text?.includes(`Written by provision for ${site.uri}, generation ${generation}.`) === true;
      return new Secret((ours ? undefined : text) ?? (await host.readFile(kept)) ?? "");
    },
    { mode: 0o400 },
    { id: "site/settings-before", title: `The settings.php that stood here, kept as ${kept}` },
  );
}

/** Its undo comes when the old settings.php is back: PHP takes that, and then the account goes. */
function newAccount({ site, webServer, platform, dbServer, database, others = [] }: Inputs, use: Services): readonly Step[] {
  return use
    .db(dbServer)
    .createAccount(database)
    .map((step) => ({
      ...step,
      async check(run) {
        const decision = await step.check(run);
        if (step.id !== ACCOUNT || decision.undo === undefined) return decision;
        const servers = [webServer, ...others.map((other) => other.webServer)];
        return {
          ...decision,
          undo: [...decision.undo, ...servers.map((one) => reloadPhpUndo(use, { platform, webServer: one }, [site.uri]))],
        };
      },
    }));
}

/** Of the step that makes an account, in every database service. */
const ACCOUNT = "database/account";

/** PHP that keeps compiled files would go on with the old settings.php; none of it is left after this. */
function reloaded({ site, webServer, platform }: SiteInputs, use: Services): Step {
  return {
    id: "http/reload",
    title: "PHP takes the new settings.php",
    // Its undo reloads PHP on all.
    undoneBy: ACCOUNT,
    check: async () => ({ changes: [`reload PHP of ${webServer.name}`] }),
    async apply() {
      await reloadPhp(use, { platform, webServer }, [site.uri]);
      return null;
    },
  };
}

/** A site that answered with the old account answers with the new one; else the old one comes back. */
function answersAsBefore(inputs: SiteInputs, use: Services, before: number | null): Step {
  const { site } = inputs;
  return {
    id: "http/probe",
    title: `GET ${use.http(inputs.webServer).url(site.uri)}/`,
    undoneBy: ACCOUNT,
    check: async () => ({ changes: ["fetch the front page"] }),
    async apply() {
      const status = await frontPage(inputs, use);
      if (before !== null && before < 500 && (status === null || status >= 500))
        throw new ProvisionError("PROBE_FAILED", `${site.name} does not answer with its new database account as it did with the old`, {
          why: [`GET / ${status ?? "without an answer"} (was ${before})`],
        });
      return { status };
    },
  };
}

async function frontPage({ site, webServer }: Pick<Inputs, "site" | "webServer">, use: Services): Promise<number | null> {
  try {
    return (await use.http(webServer).request({ uri: site.uri, path: "/" })).status;
  } catch (error) {
    if (!(error instanceof ProvisionError) || isAway(error)) throw error;
    return null;
  }
}
