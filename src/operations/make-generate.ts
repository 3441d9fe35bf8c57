import { lostIn } from "../builds/make/convert.js";
import { findProjects, type GenerateOptions, generatedMakeFile } from "../builds/make/generate.js";
import { iniText, yamlText } from "../builds/make/make-text.js";
import type { Platform } from "../context/schema.js";
import type { Stop } from "../core/stop.js";
import { detectCore } from "../engines/index.js";
import { askSite } from "./ask-site.js";
import type { Services } from "./services.js";

export interface Generated {
  readonly format: "ini" | "yaml";
  readonly text: string;
  readonly warnings: readonly string[];
}

/** A make file for all that a platform holds. */
export async function makeFileOfPlatform(
  use: Services,
  platform: Platform,
  format: "ini" | "yaml",
  options: GenerateOptions,
): Promise<Generated> {
  const host = use.host(await use.store.need(platform.server ?? platform.web_server, "server"));
  const core = await detectCore(host, use.layout.resolve(platform.root));
  const { document, warnings } = generatedMakeFile(await findProjects(host, core.docroot, core.version, []), options);
  return written(document, warnings, format);
}

/** A make file for what a site uses: the projects of its enabled extensions, its profile, all libraries. */
export async function makeFileOfSite(
  use: Services,
  name: string,
  format: "ini" | "yaml",
  options: GenerateOptions,
  wait: number,
  stop: Stop,
): Promise<Generated> {
  return askSite(use, name, "make-generate", wait, stop, async ({ engine, code }) => {
    const [{ result: inventory }, { result: status }] = [await engine.inventory(code), await engine.status(code)];
    const found = await findProjects(code.host, code.docroot, inventory.version, [code.directory]);
    const enabled = inventory.extensions.filter((extension) => extension.enabled);
    const projects = found.projects.filter(
      ({ kind, path, name: own }) =>
        kind === "library" ||
        (kind === "profile" ? own === status.profile : enabled.some((extension) => `${extension.path}/`.startsWith(`${path}/`))),
    );
    const { document, warnings } = generatedMakeFile({ ...found, projects }, options);
    const missing = inventory.missing.map((extension) => `${extension} is enabled, but its code is not there`);
    return written(document, [...missing, ...warnings], format);
  });
}

function written(document: Parameters<typeof iniText>[0], warnings: readonly string[], format: "ini" | "yaml"): Generated {
  const text = format === "ini" ? iniText(document) : yamlText(document);
  return { format, text, warnings: [...warnings, ...lostIn(document, text, format)] };
}
