import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { type Hub, loadHub } from "../../src/context/hub.js";
import { ContextStore } from "../../src/context/store.js";
import { ProvisionError } from "../../src/core/errors.js";

/** A hub of plain files in a temporary directory, gone with the test. Names are paths in the hub. */
export async function hubOf(
  files: Readonly<Record<string, string | Uint8Array>> = {},
): Promise<Hub & { store: ContextStore; root: string }> {
  const root = await mkdtemp(join(tmpdir(), "provision-context-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  for (const [name, content] of Object.entries({ "provision.yml": "", ...files })) {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  const hub = await loadHub(root);
  return { ...hub, root, store: new ContextStore(hub.layout) };
}

/** The ProvisionError that something ends with; anything else fails the test. */
export async function failureOf(act: () => unknown): Promise<ProvisionError> {
  try {
    await act();
  } catch (error) {
    if (error instanceof ProvisionError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}

const SERVER = "context_type: server\n";
export const PLATFORM = "context_type: platform\nroot: platforms/d7\n";
export const CLIENT = "context_type: client\n";
export const site = (uri: string, more = "") => `context_type: site\nuri: ${uri}\nplatform: "@platform_d7"\n${more}`;

/** A hub in which a site needs nothing more. */
export const BASE = {
  "aliases/server_master.yml": SERVER,
  "aliases/platform_d7.yml": PLATFORM,
  "aliases/client_admin.yml": CLIENT,
};
