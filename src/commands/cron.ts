import type { Services } from "../operations/services.js";
import type { Action, CommandDefinition, Invocation } from "./definition.js";
import { duePruned, pruneDue } from "./prune-generations.js";
import { SELECTORS } from "./selectors.js";

export const cron: CommandDefinition = {
  name: "cron",
  group: "site",
  summary: "run a site's cron",
  description: "Runs the cron of the site's core in PHP, without a web server. A cron that is already running is a failure.",
  arguments: [{ name: "[contexts...]", description: "@site, or a glob" }],
  options: SELECTORS,
  examples: [
    { line: "provision cron @example.com", says: "once" },
    { line: "provision cron --platform d7 --jobs 4", says: "every site of a platform, four at a time" },
  ],
  load: async () => ({ run }),
};

export const cronAll: CommandDefinition = {
  name: "cron-all",
  group: "site",
  summary: "run the cron of every site that is installed and enabled",
  description:
    "For the crontab of the hub: as cron --all, but sites that are not installed, are disabled or in quarantine are passed over. Generations that migrate and restore kept and whose time is over are taken away. Certificates that are due are renewed, as certificates renew does it. Journals of ended operations go when they are older than `journals` of provision.yml says (90 days). One that fails does not stop the others; the exit code is then 3.",
  options: SELECTORS.filter(({ flags }) => flags !== "--all"),
  examples: [{ line: "provision cron-all --jobs 4 --quiet", says: "from cron, every quarter of an hour" }],
  load: async () => ({ run: runAll }),
};

const run: Action = async (invocation) => {
  const { openHub } = await import("./hub.js");
  const { eachSelected } = await import("./selection.js");
  await eachSelected(invocation, await openHub(invocation.session), "cron", ["site"], (name, use) => cronOf(invocation, use, name, "cron"));
};

const runAll: Action = async (invocation) => {
  const { openHub } = await import("./hub.js");
  const { eachSelected } = await import("./selection.js");
  const use = await openHub(invocation.session);
  const selecting = { ...invocation, options: { ...invocation.options, all: true } };
  await eachSelected(
    selecting,
    use,
    "cron-all",
    ["site"],
    (name, own) => cronOf(invocation, own, name, "cron-all"),
    (site) => site.generation !== undefined && site.site_enabled && !site.quarantine,
  );
  await pruneDue(invocation, use, await duePruned(use));
  const { renewDue } = await import("./certificates.js");
  await renewDue(selecting, use);
  if (!invocation.session.common.dryRun) forgetJournals(use);
};

const DAY = 86_400_000;

/** Journals that nobody will ask for any more; what is open stays whatever its age. */
function forgetJournals({ operations, settings }: Services): void {
  for (const id of operations.endedBefore(new Date(Date.now() - settings.journals * DAY))) operations.forget(id);
}

async function cronOf({ session }: Invocation, use: Services, name: string, command: string): Promise<void> {
  if (session.common.dryRun) {
    await session.answer({ command, target: name }, {}, [`would run the cron of ${name}`]);
    return;
  }
  const { askSite } = await import("../operations/ask-site.js");
  const began = Date.now();
  const { result, warnings } = await askSite(use, name, "cron", session.common.lockWait, session.stop, ({ engine, code }) =>
    engine.cron(code),
  );
  const ms = Date.now() - began;
  await session.subject({ command, target: name }, async (emit) => {
    for (const message of warnings) emit({ type: "warning", message: `core: ${message}` });
    emit({ type: "finished", step: "engine/cron", title: `Cron of ${name}`, outcome: "changed", changes: [], ms });
    emit({ type: "data", data: { last_cron: result.lastCron } });
    emit({ type: "ended", ms });
  });
}
