import { access } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { isSystemError, ProvisionError } from "../core/errors.js";
import { Layout } from "./layout.js";
import type { HubSettings } from "./schema.js";
import { settingsOf } from "./validate.js";
import { parseYaml, readText } from "./yaml-file.js";

export interface Hub {
  readonly layout: Layout;
  readonly settings: HubSettings;
}

export interface WhereToLook {
  /** `--hub DIR`. */
  readonly hub?: string | undefined;
  /** `PROVISION_HUB` is read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Where Aegir has always been. */
  readonly standard?: string;
}

const SETTINGS = "provision.yml";

/**
 * Directory of the hub, absolute (DESIGN 2): `--hub`, else `PROVISION_HUB`, else the nearest parent directory
 * with a provision.yml, else /var/aegir when it has one. Rejects with HUB_NOT_FOUND, which names `provision init`.
 */
export async function findHub({ hub, env, cwd, standard = "/var/aegir" }: WhereToLook): Promise<string> {
  const { PROVISION_HUB } = env;
  const [given, source] = hub !== undefined ? [hub, "--hub"] : PROVISION_HUB ? [PROVISION_HUB, "PROVISION_HUB"] : [];
  if (given !== undefined) {
    const root = resolve(cwd, given);
    if (given !== "" && (await hasSettings(root))) return root;
    throw notFound(`${source} names ${root}, which has no ${SETTINGS}`, root);
  }
  for (let directory = resolve(cwd); ; directory = dirname(directory)) {
    if (await hasSettings(directory)) return directory;
    if (directory === dirname(directory)) break;
  }
  if (await hasSettings(standard)) return standard;
  throw notFound(`there is no hub here: no ${SETTINGS} in ${resolve(cwd)}, above it or in ${standard}`, "DIR");
}

/** Settings of the hub at `root`. Rejects with INVALID_FILE (file:line:column) or HUB_NOT_FOUND. */
export async function loadHub(root: string): Promise<Hub> {
  const layout = new Layout(resolve(root));
  const text = await readText(layout.settings);
  if (text === undefined) throw notFound(`${layout.root} is not a hub: it has no ${SETTINGS}`, layout.root);
  return { layout, settings: settingsOf(parseYaml(layout.settings, text)) };
}

async function hasSettings(directory: string): Promise<boolean> {
  try {
    await access(join(directory, SETTINGS));
    return true;
  } catch (error) {
    if (isSystemError(error)) return false;
    throw error;
  }
}

function notFound(message: string, directory: string): ProvisionError {
  return new ProvisionError("HUB_NOT_FOUND", message, {
    next: [`provision init ${directory}`, "or name the hub: --hub DIR, or PROVISION_HUB=DIR"],
  });
}

/** `mirrors:` with its directories absolute; URLs stay. */
export function mirrorPlaces(layout: Layout, mirrors: HubSettings["mirrors"]): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(mirrors).map(([from, to]) => [from, /^[a-z]+:/.test(to) ? to : layout.resolve(to)]));
}
