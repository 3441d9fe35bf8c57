import { isSystemError, ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { type Diagnostic, Diagnostics } from "./diagnostic.js";
import { fetchOf } from "./fetch-entry.js";
import { patchesOf } from "./patch.js";
import { type Ordered, type PhpArray, phpText } from "./php-value.js";
import { encodePlan, type PlanEntry, planOf } from "./plan.js";
import { readMakeFile } from "./read.js";
import { checkedPath } from "./resolve.js";

/** What can be said of a make file without a network; the form of `make-check --json` (make.md 6). */
export interface CheckedMakeFile {
  /** As it was named. */
  readonly file: string;
  readonly format: "ini" | "yaml" | null;
  /** Drush's own reading of this file alone; null when it cannot be read. */
  readonly ordered: Ordered | null;
  /** Drush's own plan; null when drush refuses the file. */
  readonly plan: Record<string, unknown> | null;
  /** Sorted by place. The file can be built when none is an error. */
  readonly diagnostics: readonly Diagnostic[];
}

export interface CheckOptions {
  /** The text itself, for standard input. */
  readonly text?: string;
  /** A file without a core is meant: a part of others, or of a profile. */
  readonly noCore?: boolean;
}

/** Of one kind of remark; a file that is no make file would have one for each of its lines. */
const MOST_OF_A_KIND = 500;

/**
 * Reads, checks and plans one make file; asks for no release and fetches nothing, so that includes from elsewhere are
 * left out, with a remark. Never rejects for what is wrong with the file.
 *
 * `file`: absolute path, or `-` with `text`; `name`: how the user called it, and how remarks call it.
 */
export async function checkMakeFile(
  file: string,
  name: string,
  host: Pick<Host, "readFile">,
  options: CheckOptions = {},
): Promise<CheckedMakeFile> {
  const called = ({ file: found, ...rest }: Diagnostic): Diagnostic => ({ ...rest, file: found === file ? name : found });
  try {
    const made = await readMakeFile(file, host, options.text === undefined ? {} : { text: options.text });
    const planned = new Diagnostics();
    if (made.document) {
      const unread = made.diagnostics.some(({ code }) => code === "include/not-read");
      checkPlan(made.document, file, options.noCore === true || unread, planned);
    }
    const plan = made.drushDocument && planOf(made.drushDocument, options.noCore ? { noCore: true } : {});
    return {
      file: name,
      format: made.format ?? null,
      ordered: made.ordered,
      plan: plan === undefined ? null : encodePlan(plan),
      diagnostics: fewOfEach(byPlace([...made.diagnostics, ...planned.all])).map(called),
    };
  } catch (error) {
    if (!(error instanceof ProvisionError)) throw error;
    const message = isSystemError(error.cause, "EISDIR") ? "this is a directory; name a make file in it" : error.message;
    const unreadable: Diagnostic = { severity: "error", code: "file/unreadable", file: name, message };
    return { file: name, format: null, ordered: null, plan: null, diagnostics: [unreadable] };
  }
}

/** What a build would refuse before it fetches anything, by the same functions. */
function checkPlan(document: PhpArray, file: string, noCore: boolean, diagnostics: Diagnostics): void {
  const plan = planOf(document, noCore ? { noCore: true } : {});
  if (plan.problem?.code === "MAKE_NO_CORE") {
    diagnostics.warn(
      "plan/no-core",
      file,
      "No core project specified: build it with --no-core, or include it in a file that has one (projects[drupal])",
    );
    checkPlan(document, file, true, diagnostics);
    return;
  }
  if (plan.problem) diagnostics.error("plan/cores", file, plan.problem.message);
  for (const entry of plan.entries) checkEntry(entry, file, diagnostics);
}

function checkEntry(entry: PlanEntry, file: string, diagnostics: Diagnostics): void {
  const at = entry.mark ?? file;
  const warn = (message: string) => diagnostics.warn("entry/download", at, `${entry.name}: ${message}`);
  const refusals = [
    () => checkedPath(entry),
    () => patchesOf(entry.attributes, file),
    () => (phpText(entry.download.get("type")) === "pm" ? undefined : fetchOf(entry, file, warn)),
  ];
  for (const refusal of refusals) {
    try {
      refusal();
    } catch (error) {
      if (!(error instanceof ProvisionError)) throw error;
      diagnostics.error("entry/refused", at, `${entry.name}: ${error.message}`);
    }
  }
}

/** File by file, each from its top; what is said of a whole file comes first. */
function byPlace(all: readonly Diagnostic[]): Diagnostic[] {
  const files = [...new Set(all.map(({ file }) => file))];
  const order = new Map(files.map((file, index) => [file, index]));
  return [...all].sort(
    (a, b) => (order.get(a.file) ?? 0) - (order.get(b.file) ?? 0) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
}

function fewOfEach(all: readonly Diagnostic[]): Diagnostic[] {
  const counts = new Map<string, number>();
  const kept = all.filter(({ code }) => {
    counts.set(code, (counts.get(code) ?? 0) + 1);
    return (counts.get(code) ?? 0) <= MOST_OF_A_KIND;
  });
  for (const [code, count] of counts) {
    const last = kept.findLast((diagnostic) => diagnostic.code === code);
    if (count > MOST_OF_A_KIND && last)
      kept.push({ severity: last.severity, code, file: last.file, message: `${count - MOST_OF_A_KIND} more remarks of the kind ${code}` });
  }
  return kept;
}
