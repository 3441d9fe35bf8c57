import { deleteSite } from "../delete-site.js";
import type { Services } from "../services.js";
import { endPart, runPart, type Watch } from "./part-operation.js";

/**
 * Takes the temporary copy of a rehearsal away, whatever state it is in: what was being done to it is ended first. Idempotent, and can be called when it was never
 * made. `operation`: the rehearsal, whose journal is open; `name`: context of the copy, with its `@`. Rejects with what the parts fail with.
 */
export async function removeRehearsal(use: Services, operation: string, name: string, watch: Watch = {}): Promise<void> {
  // Newest first, as an undo goes.
  for (const id of [...use.operations.open()].reverse()) {
    const part = use.operations.read(id);
    if (part.open?.parent !== operation || part.state !== "interrupted") continue;
    const { failure } = await endPart(use, operation, part, watch);
    if (failure) throw failure.error;
  }
  const site = await use.store.read(name);
  if (site?.context_type === "site") {
    const { failure } = await runPart(use, operation, deleteSite, { name, backup: false }, name, watch);
    if (failure) throw failure.error;
  }
  await removeLogs(use, name.slice(1));
}

/** Nobody will ever look for the logs of a site that had this name for a minute. It may have been on two web servers. */
async function removeLogs(use: Services, uri: string): Promise<void> {
  const { contexts } = await use.store.load();
  for (const server of contexts) {
    if (server.context_type !== "server" || server.http_service_type === "none" || server.http_service_type === "cluster") continue;
    const logs = use.http(server).logs?.(uri);
    for (const path of logs ? Object.values(logs) : []) await use.host(server).remove(path);
  }
}
