import { ProvisionError } from "../../core/errors.js";
import type { Host } from "../../host/host.js";
import { type Diagnostic, Diagnostics } from "./diagnostic.js";
import { bySourceText, normalizeProjects, validate } from "./document.js";
import { reportEncoding } from "./encoding.js";
import { isHttp, type MakeFileAccess, type MergeOptions, readMerged } from "./includes.js";
import type { MakeFormat } from "./make-file.js";
import { encodeOrdered, type Ordered, type PhpArray } from "./php-value.js";

export interface MakeFile {
  /** Absolute path, URL, or `-`. */
  readonly file: string;
  /** `undefined` when the text cannot be read. */
  readonly format: MakeFormat | undefined;
  /** Drush's own reading of this file alone, before includes; null when it cannot be read. */
  readonly ordered: Ordered | null;
  /** With includes, checked, versions by their source text: what is built. `undefined` when there are errors. */
  readonly document: PhpArray | undefined;
  /** The same by drush's rules alone: `encodePlan(planOf(drushDocument))` is drush's plan. `undefined` when drush refuses the file. */
  readonly drushDocument: PhpArray | undefined;
  /** In the order found. The file can be built when none is an error. */
  readonly diagnostics: readonly Diagnostic[];
}

export interface ReadOptions extends MergeOptions, Partial<Omit<MakeFileAccess, "readText">> {
  /** The text itself; `file` then only says where relative paths start. */
  readonly text?: string;
}

/** Reads and checks a make file. Problems of the file are in `diagnostics`; it rejects only when the host fails. */
export async function readMakeFile(file: string, host: Pick<Host, "readFile">, options: ReadOptions = {}): Promise<MakeFile> {
  const diagnostics = new Diagnostics();
  const unread = { file, format: undefined, ordered: null, document: undefined, drushDocument: undefined };
  const text = options.text ?? (await textOf(file, host, options));
  if (text === undefined) {
    diagnostics.error("file/missing", file, "there is no such make file");
    return { ...unread, diagnostics: diagnostics.all };
  }
  try {
    reportEncoding(text, file, diagnostics);
    const access: MakeFileAccess = {
      readText: (path) => host.readFile(path),
      ...(options.fetch ? { fetch: options.fetch } : {}),
      ...(options.checkout ? { checkout: options.checkout } : {}),
    };
    const { format, parsed, merged } = await readMerged({ file, text }, access, diagnostics, options);
    const included = diagnostics.errors.length === 0;
    const drushDocument = validate(merged.copy(), file, new Diagnostics(), "drush");
    const ours = bySourceText(merged, diagnostics);
    normalizeProjects(ours);
    const document = validate(ours, file, diagnostics);
    return {
      file,
      format,
      ordered: encodeOrdered(parsed),
      document: included ? document : undefined,
      drushDocument,
      diagnostics: diagnostics.all,
    };
  } catch (error) {
    if (!(error instanceof ProvisionError) || error.code !== "INVALID_FILE") throw error;
    return { ...unread, diagnostics: diagnostics.all };
  }
}

async function textOf(file: string, host: Pick<Host, "readFile">, options: ReadOptions): Promise<string | undefined> {
  return isHttp(file) ? options.fetch?.(file) : host.readFile(file);
}
