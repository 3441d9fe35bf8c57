import type { HttpAnswer } from "../../services/http/service.js";

/** What one and the same thing is called on two sites: host names, directories. */
export type Names = readonly (readonly [name: string, stands: string])[];

/** A page as two of them are compared: what a person sees of it, without what is never twice the same. */
export interface PageText {
  /** 0: there was no answer. */
  readonly status: number;
  /** Where it sends the visitor; empty when it does not. */
  readonly location: string;
  readonly title: string;
  /** Pieces of text in their order: what stands between two tags that break a line. */
  readonly lines: readonly string[];
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };
const NOT_SEEN = /<!--[\s\S]*?-->|<(script|style|template|svg|noscript|textarea)\b[\s\S]*?<\/\1\s*>/gi;
/** Tags inside of a line; all others end one. */
const INLINE =
  /<\/?(?:a|abbr|acronym|b|bdi|bdo|cite|code|data|dfn|em|font|i|kbd|mark|q|s|samp|small|span|strong|sub|sup|time|u|var|wbr)\b[^>]*>/gi;

const MONTH = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\\.?";
/** What a clock or a die said; more telling patterns first. */
const CHANGING: readonly (readonly [RegExp, string])[] = [
  [/\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?/g, "TIME"],
  [/\b\d{1,2}[./-]\d{1,2}[./-]\d{4}\b/g, "TIME"],
  [new RegExp(`\\b(?:\\d{1,2}(?:st|nd|rd|th)?\\.? ${MONTH},? \\d{4}|${MONTH} \\d{1,2}(?:st|nd|rd|th)?,? \\d{4})\\b`, "gi"), "TIME"],
  [/\b\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]\.?m\b\.?)?/gi, "TIME"],
  [/\b\d+(?:[.,]\d+)? ?(?:ms|milliseconds?|secs?|seconds?|mins?|minutes?|hours?|days?|weeks?|months?|years?)\b(?: ago)?/gi, "TIME"],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "TOKEN"],
  [/(?<![\w/-])(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{16,}(?![\w/-])/gi, "TOKEN"],
];

/** Text in which both sites have the same names, and clocks and dice say nothing. */
export function withoutChanging(text: string, names: Names): string {
  const named = names.reduce((so_far, [name, stands]) => so_far.replaceAll(name, stands), text);
  return CHANGING.reduce((so_far, [pattern, word]) => so_far.replace(pattern, word), named.replace(/\?[A-Za-z0-9_.%=&;-]+/g, ""));
}

function decoded(text: string): string {
  return text
    .replace(/&#(\d+);/g, (_, code: string) => character(Number(code)))
    .replace(/&#x([0-9a-f]+);/gi, (_, code: string) => character(Number.parseInt(code, 16)))
    .replace(/&([a-z]+);/gi, (whole, name: string) => ENTITIES[name.toLowerCase()] ?? whole);
}

function character(code: number): string {
  return code > 0 && code < 0x110000 ? String.fromCodePoint(code) : " ";
}

/** Pure. `names` in the order in which they are looked for: longer ones first. */
export function pageText({ status, headers, body }: Pick<HttpAnswer, "status" | "headers" | "body">, names: Names): PageText {
  const plain = (html: string) => withoutChanging(decoded(html).replace(/\s+/g, " ").trim(), names);
  const location = plain(headers["location"] ?? "");
  if (!/html/i.test(headers["content-type"] ?? "text/html")) {
    const text = body.split("\n").map(plain);
    return { status, location, title: "", lines: text.filter((line) => line !== "") };
  }
  const seen = body.replace(NOT_SEEN, " ");
  const title = /<title[^>]*>([\s\S]*?)<\/title>/i.exec(body)?.[1] ?? "";
  const lines = seen
    .replace(/<head\b[\s\S]*?<\/head\s*>/i, " ")
    .replace(/\s+/g, " ")
    .replace(INLINE, "")
    .split(/<[^>]*>/)
    .map(plain);
  return { status, location, title: plain(title), lines: lines.filter((line) => line !== "") };
}

/**
 * What is different on the second page, one line each; empty: nothing that matters. `again`: the first page, fetched once more: what already differs between
 * those two says nothing (a random quotation, a counter), and as many pieces of text as came and went there may be new on the second page, too.
 */
export function pageDifferences(page: PageText, again: PageText, other: PageText): readonly string[] {
  if (page.status !== again.status)
    return [`it answers ${page.status} and ${again.status} by turns where it is now, so that nothing can be said of it`];
  if (page.status !== other.status) return [`${page.status} became ${other.status === 0 ? "no answer" : other.status}`];
  const differences: string[] = [];
  if (page.location !== other.location && page.location === again.location)
    differences.push(`it sends to ${other.location || "nowhere"}, and did to ${page.location || "nowhere"}`);
  if (page.title !== other.title && page.title === again.title) differences.push(`the title "${page.title}" became "${other.title}"`);
  const [first, second, third] = [page, again, other].map(({ lines }) => new Set(lines)) as [Set<string>, Set<string>, Set<string>];
  const unstable = [...first].filter((line) => !second.has(line)).length;
  const lost = [...first].filter((line) => second.has(line) && !third.has(line));
  const came = [...third].filter((line) => !first.has(line) && !second.has(line));
  if (lost.length > 0) differences.push(`gone: ${quoted(lost)}`);
  if (came.length > unstable) differences.push(`new: ${quoted(came)}`);
  return differences;
}

function quoted(lines: readonly string[]): string {
  const shown = lines.slice(0, 3).map((line) => `"${line.length > 80 ? `${line.slice(0, 79)}…` : line}"`);
  return lines.length > 3 ? `${shown.join(", ")} and ${lines.length - 3} more` : shown.join(", ");
}

/** Pages that change something when they are fetched, or tell nothing: not asked for unless somebody names them. */
const NOT_FETCHED = /(?:^|\/)(?:logout|cron|update\.php|install\.php|cancel|delete|flag|unflag|vote|add-to-cart|checkout)(?:\/|\.|$)|[?]/i;
const NOT_PAGES = /\.(?:css|js|png|jpe?g|gif|svg|webp|ico|pdf|zip|gz|mp[34]|xml|txt|woff2?)$/i;

/** Paths of the site itself that a page links to, or that a sitemap names, in their order, each once. `hosts`: what the site is called. Pure. */
export function pathsOn(body: string, hosts: readonly string[], prefix: string): readonly string[] {
  const found = new Set<string>();
  for (const [, href, location] of body.matchAll(/<a\b[^>]*?\bhref\s*=\s*["']([^"'#]*)|<loc>\s*([^<]*?)\s*<\/loc>/gi)) {
    const path = pathOf(decoded(href ?? location ?? ""), hosts, prefix);
    if (path !== undefined && !NOT_FETCHED.test(path) && !NOT_PAGES.test(path)) found.add(path);
  }
  return [...found];
}

/** Path below the site of a URL or path; undefined when it leads elsewhere. */
export function pathOf(text: string, hosts: readonly string[], prefix: string): string | undefined {
  let path = text.trim();
  const absolute = /^(?:https?:)?\/\/([^/?#]+)(.*)$/i.exec(path);
  if (absolute) {
    const host = (absolute[1] ?? "").toLowerCase().replace(/:\d+$/, "");
    if (!hosts.includes(host)) return undefined;
    path = absolute[2] === "" ? "/" : (absolute[2] ?? "/");
  } else if (!path.startsWith("/")) return undefined;
  path = path.replace(/#.*$/, "");
  if (prefix !== "" && path !== prefix && !path.startsWith(`${prefix}/`)) return undefined;
  const own = path.slice(prefix.length);
  return own === "" ? "/" : own;
}
