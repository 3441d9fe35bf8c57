import { type FailedEntry, isSystemError, messageOf, ProvisionError } from "../../core/errors.js";
import { shown } from "./address.js";
import type { Fetch } from "./fetch-entry.js";
import { isTruthy, phpText } from "./php-value.js";
import type { PlanEntry } from "./plan.js";

/** What is being worked at, as a failure names it. */
export type About = Omit<FailedEntry, "reason">;

interface Failure {
  readonly about: About;
  readonly message: string;
  readonly why: readonly string[];
}

/** What went wrong with single entries, while the others go on, so that all that is wrong is told at once. */
export class Failures {
  readonly list: Failure[] = [];
  readonly #why: (error: ProvisionError) => Promise<readonly string[]>;

  /** `why` adds reasons that the error itself cannot know. */
  constructor(why: (error: ProvisionError) => Promise<readonly string[]>) {
    this.#why = why;
  }

  get any(): boolean {
    return this.list.length > 0;
  }

  /** A failure goes into the list; only bugs and verdicts over the whole build pass. */
  async guarded<T>(about: About, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ProvisionError)
        this.list.push({ about, message: error.message, why: [...(await this.#why(error)), ...error.why] });
      else if (isSystemError(error)) this.list.push({ about, message: systemMessage(error), why: [] });
      else throw error;
      return undefined;
    }
  }

  /** As rows of a table, by name, since they fail in another order each time; `plain` takes the place of a build out of texts. */
  rows(plain: (text: string) => string): readonly FailedEntry[] {
    const rows = this.list.map(({ about, message, why }) => {
      const reason = plain(`${message}${why.length > 0 ? ` (${why.join("; ")})` : ""}`);
      return { ...about, source: plain(about.source), reason };
    });
    return rows.sort((a, b) => (a.entry < b.entry ? -1 : a.entry > b.entry ? 1 : 0));
  }
}

function systemMessage(error: NodeJS.ErrnoException): string {
  return error.code === "ENOSPC" || error.code === "EDQUOT" ? "no space left on the disk" : messageOf(error);
}

/** Where an entry comes from: its address when one is known, else the line of the make file that asks for it. */
export function aboutEntry(entry: PlanEntry, fetch?: Fetch): About {
  return { entry: entry.name, type: entry.type.toLowerCase(), source: addressIn(fetch) ?? addressOf(entry) };
}

function addressIn(fetch: Fetch | undefined): string | undefined {
  if (fetch?.kind === "copy") return fetch.path;
  if (fetch?.kind === "vcs") return shown(fetch.request.url);
  if (fetch?.kind === "file") return "path" in fetch.address ? fetch.address.path : shown(fetch.address.url);
  return undefined;
}

function addressOf({ download, mark, name }: PlanEntry): string {
  const [url, releases] = ["url", "status url"].map((key) => phpText(download.get(key)).trim());
  if (url) return shown(url);
  if (isTruthy(releases)) return `${shown(releases ?? "").replace(/\/+$/, "")}/${name}`;
  return mark === undefined ? "" : `${mark.file}:${mark.line}:${mark.column}`;
}
