/** What is read of an info file, whichever core it is for. */
export interface Info {
  /** Keys with one value. Words that PHP takes for constants (TRUE, VERSION) stand as they are written. */
  readonly values: ReadonlyMap<string, string>;
  /** Keys with several: `dependencies`. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
}

/** A key may have brackets (`dependencies[]`), a value may be quoted and then go over lines; `;` begins a comment where a key would. */
const INI_LINE =
  /^[ \t]*([^=;[\]\s](?:[^=;[\]\r\n]*[^=;[\]\s])?)((?:\[[^[\]\r\n]*\])*)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[\s\S])*)"|'((?:[^'\\]|\\[\s\S])*)'|([^\r\n]*?))[ \t]*\r?$/gm;

/** The .info files of Drupal 7 and Backdrop: keys, `=`, values. Later lines win, as in core. */
export function iniInfo(text: string): Info {
  const values = new Map<string, string>();
  const lists = new Map<string, string[]>();
  for (const [, key = "", brackets = "", double, single, bare = ""] of text.matchAll(INI_LINE)) {
    const quoted = double ?? single;
    const value = quoted === undefined ? bare : quoted.replace(/\\([\s\S])/g, "$1");
    if (brackets === "") values.set(key, value);
    else lists.set(key, [...(lists.get(key) ?? []), value]);
  }
  return { values, lists };
}

const YAML_KEY = /^(["']?)([A-Za-z_][\w .-]*?)\1[ \t]*:(?:[ \t]+(.*))?$/;
const YAML_ITEM = /^[ \t]*-[ \t]+(.*)$/;

/**
 * The .info.yml files of Drupal 8 and later: keys at the beginning of a line with one value, or a list of values below them or in
 * brackets; that is all that these files use where it matters here. A reader for all of YAML takes longer to load than all of them to read.
 */
export function yamlInfo(text: string): Info {
  const values = new Map<string, string>();
  const lists = new Map<string, string[]>();
  let list: string[] | undefined;
  for (const line of text.split(/\r?\n/)) {
    const item = YAML_ITEM.exec(line);
    const key = item ? null : YAML_KEY.exec(line);
    if (item && list) list.push(scalar(item[1] ?? ""));
    else if (key) {
      const [, , name = "", rest = ""] = key;
      const value = withoutComment(rest);
      const flow = /^\[(.*)\]$/.exec(value);
      list = flow
        ? (flow[1] ?? "")
            .split(",")
            .map(scalar)
            .filter((each) => each !== "")
        : [];
      if (flow || value === "") lists.set(name, list);
      else values.set(name, scalar(value));
    }
  }
  return { values, lists };
}

function withoutComment(text: string): string {
  const quoted = /^\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')\s*(?:#.*)?$/.exec(text)?.[1];
  return quoted ?? text.replace(/(?:^|\s)#.*$/, "").trim();
}

function scalar(text: string): string {
  const bare = withoutComment(text);
  if (/^'.*'$/s.test(bare)) return bare.slice(1, -1).replaceAll("''", "'");
  return /^".*"$/s.test(bare) ? bare.slice(1, -1).replace(/\\(.)/g, "$1") : bare;
}
