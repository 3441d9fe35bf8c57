import { resolve } from "node:path";
import { hubNotFound, SETTINGS } from "./find-hub.js";
import { Layout } from "./layout.js";
import type { HubSettings } from "./schema.js";
import { settingsOf } from "./validate.js";
import { parseYaml, readText } from "./yaml-file.js";

export interface Hub {
  readonly layout: Layout;
  readonly settings: HubSettings;
}

/** Settings of the hub at `root`. Rejects with INVALID_FILE (file:line:column) or HUB_NOT_FOUND. */
export async function loadHub(root: string): Promise<Hub> {
  const layout = new Layout(resolve(root));
  const text = await readText(layout.settings);
  if (text === undefined) throw hubNotFound(`${layout.root} is not a hub: it has no ${SETTINGS}`, layout.root);
  return { layout, settings: settingsOf(parseYaml(layout.settings, text)) };
}

/** `mirrors:` with its directories absolute; URLs stay. */
export function mirrorPlaces(layout: Layout, mirrors: HubSettings["mirrors"]): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(mirrors).map(([from, to]) => [from, /^[a-z]+:/.test(to) ? to : layout.resolve(to)]));
}
