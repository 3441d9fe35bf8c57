import { phpString, phpStringValue } from "./php-literal.js";

const HEAD = `<?php

/**
 * Which directory below sites/ answers for which host name.
 *
 * Written by provision, entry by entry. A file that holds anything else is not
 * provision's: it is left alone, and every change of it refused.
 */
`;

const TAIL = `
(function (&$sites, $wildcards) {
  // *.example.com means the names below example.com; core itself knows no such entry. An entry of its own wins.
  $host = isset($_SERVER['HTTP_HOST']) ? strtolower(rtrim(preg_replace('/:\\d+$/', '', $_SERVER['HTTP_HOST']), '.')) : '';
  for ($rest = strstr($host, '.'); $rest !== FALSE && !isset($sites[$host]); $rest = strstr(substr($rest, 1), '.')) {
    if (isset($wildcards[substr($rest, 1)])) {
      $sites[$host] = $wildcards[substr($rest, 1)];
    }
  }
  // Set by provision alone, for a generation that visitors do not get.
  $generation = getenv('PROVISION_GENERATION');
  if (is_string($generation) && preg_match('/^[A-Za-z0-9][A-Za-z0-9-]*$/D', $generation)) {
    foreach ($sites as $name => $directory) {
      if (is_dir(__DIR__ . "/$directory~$generation")) {
        $sites[$name] = "$directory~$generation";
      }
    }
  }
})($sites, isset($wildcards) ? $wildcards : array());
`;

const ENTRY = /^\$(sites|wildcards)\[('[^\n]*?')\] = ('[^\n]*');$/;

/**
 * Text of `sites/sites.php`, which core includes when it looks for the directory of a request (Drupal 7's
 * `conf_path()`). `names` maps what a visitor may ask for to a directory below `sites/`:
 *
 * - `example.com`: a host name, any port. A name that is its own directory needs no entry for visitors; give it all
 *   the same, because PROVISION_GENERATION chooses among the entries.
 * - `8080.example.com`: one port. Core tries it before `example.com`.
 * - `example.com.foo`: the path /foo of a host (`siteName` of a sub-directory site's uri).
 * - `*.example.com`: every name below, at any depth; longer ones first. Core has nothing of the kind, so that the file
 *   brings it along.
 *
 * Core then goes on by itself: for `a.example.com` without a directory of its own it takes `example.com`, and in the
 * end `sites/default`. The web server must not let names through that no site has.
 */
export function sitesPhp(names: ReadonlyMap<string, string>): string {
  const entries = [...names].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const exact = entries.filter(([name]) => !name.startsWith("*."));
  const wild = entries.filter(([name]) => name.startsWith("*."));
  const lines = [
    ...exact.map(([name, directory]) => `$sites[${phpString(name)}] = ${phpString(directory)};`),
    ...wild.map(([name, directory]) => `$wildcards[${phpString(name.slice(2))}] = ${phpString(directory)};`),
  ];
  return `${HEAD}${lines.map((line) => `${line}\n`).join("")}${TAIL}`;
}

/**
 * The entries of a file that `sitesPhp` wrote; undefined for any other, be it different by a comment only: an
 * operator's own file must never be lost.
 */
export function readSitesPhp(text: string): ReadonlyMap<string, string> | undefined {
  if (!text.startsWith(HEAD) || !text.endsWith(TAIL)) return undefined;
  const names = new Map<string, string>();
  for (const line of text.slice(HEAD.length, text.length - TAIL.length).split("\n")) {
    if (line === "") continue;
    const [, list, key = "", value = ""] = ENTRY.exec(line) ?? [];
    const name = phpStringValue(key);
    const directory = phpStringValue(value);
    if (list === undefined || name === undefined || directory === undefined) return undefined;
    names.set(list === "wildcards" ? `*.${name}` : name, directory);
  }
  // Order, repetition and blank lines are part of what makes a file ours.
  return sitesPhp(names) === text ? names : undefined;
}
