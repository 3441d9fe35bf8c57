import { ProvisionError } from "../../core/errors.js";
import type { Mark } from "./php-value.js";

export type Severity = "error" | "warning";

/** One thing a reader of a make file should know, and where it stands. */
export interface Diagnostic {
  readonly severity: Severity;
  /** Stable, for scripts: `ini/swallowed-line`, `yaml/duplicate-key`, `project/unknown-key` … */
  readonly code: string;
  readonly file: string;
  /** From 1; absent when the whole file is meant. */
  readonly line?: number;
  readonly column?: number;
  /** What drush reads or does, and what was probably meant. */
  readonly message: string;
}

/** Collects what is found while a file and its includes are read. */
export class Diagnostics {
  readonly all: Diagnostic[] = [];

  error(code: string, at: Mark | string, message: string): void {
    this.#add("error", code, at, message);
  }

  warn(code: string, at: Mark | string, message: string): void {
    this.#add("warning", code, at, message);
  }

  add(other: Diagnostics): void {
    this.all.push(...other.all);
  }

  get errors(): readonly Diagnostic[] {
    return this.all.filter((diagnostic) => diagnostic.severity === "error");
  }

  #add(severity: Severity, code: string, at: Mark | string, message: string): void {
    const place = typeof at === "string" ? { file: at } : { file: at.file, line: at.line, column: at.column };
    this.all.push({ severity, code, ...place, message });
  }
}

/** `views.make:12:3: message`. */
export function diagnosticLine({ file, line, column, message }: Diagnostic): string {
  return `${file}${line === undefined ? "" : `:${line}:${column ?? 1}`}: ${message}`;
}

/** INVALID_FILE with every error in its reasons, located. */
export function invalidMakeFile(file: string, errors: readonly Diagnostic[]): ProvisionError {
  return new ProvisionError(
    "INVALID_FILE",
    `${file} cannot be built: ${errors.length === 1 ? "one problem" : `${errors.length} problems`}`,
    {
      why: errors.map(diagnosticLine),
      state: "nothing was built",
      next: [`provision make-check ${file}    # every remark on this file`],
    },
  );
}
