import type { Services } from "../operations/services.js";
import type { Action, CommandDefinition, Invocation } from "./definition.js";

export const deleteCommand: CommandDefinition = {
  name: "delete",
  group: "site",
  summary: "delete a site, platform, server or client",
  description:
    "A site: a final backup is taken, which has to succeed; its vhost is withdrawn and its directories set aside, all of which can be undone; then database, files, names, links and, last, the context are removed. Its backups stay. With --no-backup nothing is kept. A platform, server or client: refused while anything refers to it; code that provision did not build stays. Works on the rest of whatever failed before, and can be repeated.",
  arguments: [{ name: "<contexts...>", description: "@name" }],
  options: [{ flags: "--no-backup", description: "without a final backup" }],
  examples: [
    { line: "provision delete @example.com --yes", says: "the site, its database and its files, after a backup" },
    { line: "provision delete @example.com --no-backup --yes", says: "the same, and nothing is kept" },
    { line: "provision delete @platform_d7 --yes", says: "a platform without sites" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { confirmed, contextName, eachTarget, openHub, operate } = await import("./hub.js");
  const { session } = invocation;
  const use = await openHub(session);
  await eachTarget(invocation, "delete", async (word) => {
    const name = contextName(word);
    if (await finished(invocation, use, name)) return;
    const context = await use.store.need(name);
    if (context.context_type === "site") {
      const backup = invocation.options["backup"] !== false;
      await confirmed(session, `Delete ${name}, its database and its files${backup ? "" : ", without a backup"}?`);
      const { deleteSite } = await import("../operations/delete-site.js");
      await operate(invocation, use, "delete", name, deleteSite, { name, backup });
      return;
    }
    await confirmed(session, `Delete ${name}?`);
    const { deleteOther } = await import("../operations/delete-other.js");
    await operate(invocation, use, "delete", name, deleteOther, { name });
  });
};

/** The same delete was killed after its commit: to finish it is all there is to do. */
async function finished({ session }: Invocation, use: Services, target: string): Promise<boolean> {
  const killed = use.operations.interrupted([target]).some(({ open, committed }) => committed && open?.command.startsWith("delete-"));
  if (!killed || session.common.dryRun) return false;
  const { settle } = await import("../operations/run.js");
  await session.subject({ command: "delete", target }, async (emit) => {
    const begun = Date.now();
    const { stop, version, common } = session;
    await settle([target], { use, stop, version, emit, target, dryRun: false, keepFailed: false, lockWait: common.lockWait });
    emit({ type: "ended", ms: Date.now() - begun });
  });
  return true;
}
