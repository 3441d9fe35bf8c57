import type { Action, CommandDefinition } from "./definition.js";

export const cron: CommandDefinition = {
  name: "cron",
  group: "site",
  summary: "run a site's cron",
  description: "Runs the cron of the site's core in PHP, without a web server. A cron that is already running is a failure.",
  arguments: [{ name: "<contexts...>", description: "@site" }],
  examples: [{ line: "provision cron @example.com", says: "once" }],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { contextOfType, eachTarget, openHub } = await import("./hub.js");
  const { askSite } = await import("../operations/ask-site.js");
  const { session } = invocation;
  const use = await openHub(session);
  await eachTarget(invocation, "cron", async (word) => {
    const { name } = await contextOfType(use, word, ["site"], "cron");
    if (session.common.dryRun) {
      await session.answer({ command: "cron", target: name }, {}, [`would run the cron of ${name}`]);
      return;
    }
    const began = Date.now();
    const { result, warnings } = await askSite(use, name, "cron", session.common.lockWait, session.stop, ({ engine, code }) =>
      engine.cron(code),
    );
    const ms = Date.now() - began;
    await session.subject({ command: "cron", target: name }, async (emit) => {
      for (const message of warnings) emit({ type: "warning", message: `core: ${message}` });
      emit({ type: "finished", step: "engine/cron", title: `Cron of ${name}`, outcome: "changed", changes: [], ms });
      emit({ type: "data", data: { last_cron: result.lastCron } });
      emit({ type: "ended", ms });
    });
  });
};
