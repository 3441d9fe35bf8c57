import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Writes files below a directory, by their paths. */
export function plant(root: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

const lines = (
  of: Readonly<Record<string, string | readonly string[]>>,
  one: (key: string, value: string) => string,
  item: (key: string, value: string) => string,
) =>
  Object.entries(of)
    .map(([key, value]) => (typeof value === "string" ? one(key, value) : value.map((each) => item(key, each)).join("")))
    .join("");

type InfoKeys = Readonly<Record<string, string | readonly string[]>>;

/** A module of Drupal 7 or Backdrop: its .info, its .module, and an .install with these updates. */
export function oldModule(directory: string, name: string, info: InfoKeys, install = ""): Readonly<Record<string, string>> {
  return {
    [`${directory}/${name}.info`]: oldInfo(info),
    [`${directory}/${name}.module`]: "<?php\n",
    ...(install === "" ? {} : { [`${directory}/${name}.install`]: `<?php\n${install}` }),
  };
}

export function oldInfo(info: InfoKeys): string {
  return lines(
    info,
    (key, value) => `${key} = ${value}\n`,
    (key, value) => `${key}[] = ${value}\n`,
  );
}

/** An extension of Drupal 8 and later: its .info.yml, and an .install with these updates. */
export function module8(directory: string, name: string, info: InfoKeys, install = ""): Readonly<Record<string, string>> {
  const text = lines(
    Object.fromEntries(
      Object.entries(info).map(([key, value]) => [
        key,
        typeof value === "string" ? value : [value.map((each) => `  - ${each}\n`).join("")],
      ]),
    ),
    (key, value) => `${key}: ${value}\n`,
    (key, value) => `${key}:\n${value}`,
  );
  return { [`${directory}/${name}.info.yml`]: text, ...(install === "" ? {} : { [`${directory}/${name}.install`]: `<?php\n${install}` }) };
}

/** Functions that core runs as database updates. */
export function updates(name: string, ...numbers: readonly number[]): string {
  return numbers
    .map(
      (number) =>
        `\n/**\n * Update ${number}; not ${name}_update_${number + 1000}().\n */\nfunction ${name}_update_${number}(&$sandbox) {\n}\n`,
    )
    .join("");
}
