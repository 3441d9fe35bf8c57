import { basename, dirname, join } from "node:path";
import { lostIn } from "../builds/make/convert.js";
import {
  type FoundCode,
  findProjects,
  type GenerateOptions,
  generatedComposerJson,
  generatedMakeFile,
  type PlatformComposer,
} from "../builds/make/generate.js";
import { iniText, yamlText } from "../builds/make/make-text.js";
import type { Platform } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import type { Stop } from "../core/stop.js";
import { detectCore } from "../engines/index.js";
import type { PlatformInventory } from "../engines/packages.js";
import type { Host } from "../host/host.js";
import { askSite } from "./ask-site.js";
import { takeInventory } from "./parts/platform-inventory.js";
import type { Services } from "./services.js";

type Notation = "ini" | "yaml" | "composer";

export interface Generated {
  readonly format: Notation;
  readonly text: string;
  readonly warnings: readonly string[];
  /** Beside what every made text tells: `own`, code that nobody else has. */
  readonly data: { readonly [key: string]: Json };
}

/** A make file or composer.json for all that a platform holds. Default format: composer.json for what Composer built. */
export async function makeFileOfPlatform(
  use: Services,
  platform: Platform,
  format: Notation | undefined,
  options: GenerateOptions,
): Promise<Generated> {
  // What is built stands on the hub, also for other machines.
  const host = use.local;
  const core = await detectCore(host, use.layout.resolve(platform.root));
  const inventory = await takeInventory(use, host, platform, core);
  const found = completed(await findProjects(host, core.docroot, core.version, []), inventory);
  return written(host, platform.name, found, inventory, format, options, []);
}

/** The same for what a site uses: the projects of its enabled extensions, its profile, all libraries. */
export async function makeFileOfSite(
  use: Services,
  name: string,
  format: Notation | undefined,
  options: GenerateOptions,
  wait: number,
  stop: Stop,
): Promise<Generated> {
  return askSite(use, name, "make-generate", wait, stop, async ({ engine, code, core, platform }) => {
    const [{ result: inventory }, { result: status }] = [await engine.inventory(code), await engine.status(code)];
    const scanned = await takeInventory(use, code.host, platform, core);
    const found = completed(await findProjects(code.host, code.docroot, inventory.version, [code.directory]), scanned);
    const enabled = inventory.extensions.filter((extension) => extension.enabled);
    const projects = found.projects.filter(
      ({ kind, path, name: own }) =>
        kind === "library" ||
        (kind === "profile" ? own === status.profile : enabled.some((extension) => `${extension.path}/`.startsWith(`${path}/`))),
    );
    const missing = inventory.missing.map((extension) => `${extension} is enabled, but its code is not there`);
    return written(code.host, name, { ...found, projects }, scanned, format, options, missing);
  });
}

/** What info files and PATCHES.txt do not say, and Composer or a lock of the make file does. */
function completed(found: FoundCode, inventory: PlatformInventory): FoundCode {
  const base = (patch: string) => basename(patch.split(/[?#]/, 1)[0] ?? "");
  const together = (patches: readonly string[], more: readonly string[] = []) => {
    const known = new Set(patches.map(base));
    return [...patches, ...more.filter((patch) => !known.has(base(patch)))];
  };
  return {
    ...found,
    corePatches: together(found.corePatches, inventory.patches),
    projects: found.projects.map((each) => {
      const inside = inventory.packages.filter(({ path }) => path === each.path || path.startsWith(`${each.path}/`));
      const main =
        inside.find(({ name, path }) => path === each.path && name === each.name) ?? inside.find(({ path }) => path === each.path);
      const said = main ?? inside[0];
      return {
        ...each,
        project: each.project ?? said?.project,
        version: each.version === undefined || each.version === "VERSION" ? said?.version : each.version,
        ...(main?.composer === undefined ? {} : { composer: main.composer }),
        patches: together(
          each.patches,
          inside.flatMap(({ patches = [] }) => patches),
        ),
      };
    }),
  };
}

async function written(
  host: Host,
  name: string,
  found: FoundCode,
  inventory: PlatformInventory,
  wanted: Notation | undefined,
  options: GenerateOptions,
  said: readonly string[],
): Promise<Generated> {
  const platform = await platformComposer(host, inventory.docroot);
  const format = wanted ?? (inventory.engine === "drupal" && platform !== undefined ? "composer" : "yaml");
  if (format === "composer") {
    const { text, warnings, own } = generatedComposerJson(found, name, platform, options);
    return { format, text, warnings: [...said, ...warnings], data: { own: own as unknown as Json } };
  }
  const { document, warnings, own } = generatedMakeFile(found, options);
  const text = format === "ini" ? iniText(document) : yamlText(document);
  return { format, text, warnings: [...said, ...warnings, ...lostIn(document, text, format)], data: { own: own as unknown as Json } };
}

/** composer.json of the project that a docroot belongs to, at its top or one above; undefined for none. Rejects with INVALID_FILE. */
async function platformComposer(host: Host, docroot: string): Promise<PlatformComposer | undefined> {
  for (const path of [join(docroot, "composer.json"), join(dirname(docroot), "composer.json")]) {
    const text = await host.readFile(path);
    if (text === undefined) continue;
    try {
      return JSON.parse(text) as PlatformComposer;
    } catch (error) {
      throw new ProvisionError("INVALID_FILE", `${path} is no JSON`, { cause: error });
    }
  }
  return undefined;
}
