import { resolveSite } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation, Run, Step } from "../core/step.js";
import { detectCore } from "../engines/index.js";
import type { DatabaseOf } from "../services/db/service.js";
import { type Baseline, differences } from "./parts/baseline.js";
import { certificateSteps, formerCertificates, refuseUnprovable } from "./parts/certificate.js";
import { contextFile } from "./parts/contexts.js";
import { siteLocks } from "./parts/locks.js";
import { dropPoolUsers, leavePools, poolSteps, refusePool, reloadPhp, reloadPhpUndo } from "./parts/pool.js";
import { refuseConflicts, siteState } from "./parts/preflight.js";
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
    const all = await resolveSite(use.store, use.settings, name);
    refuseOtherUser(all.server);
    const { generation } = all.site;
    if (generation === undefined) {
      throw new ProvisionError("NOT_INSTALLED", `${name} is not installed`, {
        state: "a context without a site",
        next: [`provision install ${name}`],
      });
    }
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
        baseline: await siteBaseline(inputs, use),
      },
      locks: siteLocks(all),
    };
  },

  preflight: (inputs, use) => refusePool(inputs, use),

  steps(inputs, use) {
    const { site, database, rotation } = inputs;
    const db = use.db(inputs.dbServer);
    const salt = hashSalt(inputs, use);
    const account = rotation ? newAccount(inputs, use) : [];
    const [password] = account;
    const access = async (run: Run) => {
      // In a dry run nobody has made it.
      if (password && (await password.check(run)).changes.length > 0) run.need(password);
      return db.access(database);
    };
    const cloaked = isCloaked(inputs);
    const settings = settingsFile(inputs, use, access, salt);
    return [
      ...poolSteps(inputs, use),
      generationDirectories(inputs, use),
      gateFile(inputs, use),
      siteDirectories(inputs, use),
      salt,
      ...account,
      ...accountForCommands(inputs, use, access),
      ...accountForRequests(inputs, use, access),
      // Who takes the account out of settings.php has the web server tell it before, and who puts it in takes it from there after.
      ...(cloaked ? [] : [settings]),
      filesLink(inputs, use),
      siteEntries(inputs, use),
      clientLink(inputs, use),
      ...basicAuthSteps(inputs, use),
      groupOfAll(inputs, use, { former: formerGroup(inputs) }),
      publish(inputs, use, inputs.site.site_enabled),
      ...(cloaked ? [settings] : []),
      ...leavePools(inputs, use),
      // An authority that is down, or does not find a new name yet, is no reason to take all this back.
      ...certificateSteps(inputs, use, true, (version) => publishCertificate(inputs, use, version)),
      ...(rotation ? [reloaded(inputs, use), answersAsBefore(inputs, use, rotation.status)] : []),
      ...formerAccounts(inputs, use),
      ...dropPoolUsers(inputs, use),
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
      ...formerCertificates(inputs, use),
    ];
  },

  confirm: ({ baseline }, use) => differences(use, baseline),
  state: (inputs, use) => siteState(inputs, use),
};

/** Its undo comes when the old settings.php is back: PHP takes that, and then the account goes. */
function newAccount({ site, webServer, platform, dbServer, database }: Inputs, use: Services): readonly Step[] {
  return use
    .db(dbServer)
    .createAccount(database)
    .map((step) => ({
      ...step,
      async check(run) {
        const decision = await step.check(run);
        if (step.id !== ACCOUNT || decision.undo === undefined) return decision;
        return { ...decision, undo: [...decision.undo, reloadPhpUndo(use, { platform, webServer }, [site.uri])] };
      },
    }));
}

/** Of the step that makes an account, in every database service. */
const ACCOUNT = "database/account";

/** PHP that keeps compiled files would go on with the old settings.php; none of it is left after this. */
function reloaded({ site, webServer, platform }: Inputs, use: Services): Step {
  return {
    id: "http/reload",
    title: "PHP takes the new settings.php",
    undoneBy: ACCOUNT,
    check: async () => ({ changes: [`reload PHP of ${webServer.name}`] }),
    async apply() {
      await reloadPhp(use, { platform, webServer }, [site.uri]);
      return null;
    },
  };
}

/** A site that answered with the old account answers with the new one; else the old one comes back. */
function answersAsBefore(inputs: Inputs, use: Services, before: number | null): Step {
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
    if (!(error instanceof ProvisionError)) throw error;
    return null;
  }
}
