import { resolvePlatform, resolveSite } from "../context/references.js";
import { type Shown, show } from "../context/show.js";
import { parseYaml, readText } from "../context/yaml-file.js";
import { ProvisionError } from "../core/errors.js";
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
      const { platform, webServer } = await resolveSite(use.store, use.settings, name, "first");
      return show(context, { ...around, platform, webServer });
    }
    if (context.context_type === "platform") {
      const { webServer } = await resolvePlatform(use.store, use.settings, name, "first");
      return show(context, { ...around, webServer });
    }
  } catch (error) {
    // A broken reference is no reason not to show the rest.
    if (!(error instanceof ProvisionError)) throw error;
  }
  return show(context, around);
}
