import { resolvePlatform, resolveSite } from "../context/references.js";
import { isThisMachine, type Platform, type Server } from "../context/schema.js";
import { type Shown, show } from "../context/show.js";
import { parseYaml, readText } from "../context/yaml-file.js";
import { ProvisionError } from "../core/errors.js";
import { detectCore } from "../engines/index.js";
import { recordedInventory } from "./parts/platform-inventory.js";
import type { Services } from "./services.js";

/** A context with all its values and their origin; what it refers to is looked up where that is possible. */
export async function showContext(use: Services, name: string): Promise<Shown> {
  const context = await use.store.need(name);
  const text = await readText(use.layout.settings);
  const around = {
    hub: use.hub,
    file: await use.store.file(name),
    settings: text === undefined ? undefined : parseYaml(use.layout.settings, text),
  };
  try {
    if (context.context_type === "site") {
      const { platform, server, webServer } = await resolveSite(use.store, use.settings, name, "first");
      return show(context, {
        ...around,
        platform,
        webServer,
        place: use.layoutOf(server),
        docroot: await docrootOf(use, platform, server),
      });
    }
    if (context.context_type === "platform") {
      const { server, webServer } = await resolvePlatform(use.store, use.settings, name, "first");
      return show(context, { ...around, webServer, place: use.layoutOf(server), docroot: await docrootOf(use, context, server) });
    }
    if (context.context_type === "server") return show(context, { ...around, place: use.layoutOf(context) });
  } catch (error) {
    // A broken reference is no reason not to show the rest.
    if (!(error instanceof ProvisionError)) throw error;
  }
  return show(context, around);
}

/** Below the root with Composer. Of another machine, which is not asked for this, and of code that is gone, the last verify knows it. */
async function docrootOf(use: Services, platform: Platform, server: Server): Promise<string | undefined> {
  const known = async () => (await recordedInventory(use, platform.name))?.docroot;
  if (!isThisMachine(server.remote_host)) return known();
  try {
    return (await detectCore(use.local, use.rootOf({ platform, server }))).docroot;
  } catch (error) {
    if (!(error instanceof ProvisionError)) throw error;
    return known();
  }
}
