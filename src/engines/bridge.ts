import { type ErrorCode, ProvisionError } from "../core/errors.js";
import type { Json } from "../core/json.js";
import { Secret } from "../core/secret.js";
import { codeCacheSettings } from "../host/code-cache.js";
import { type Host, HostError, type RunResult } from "../host/host.js";
import { DocumentError, type Fields, fields, flag, optionalText, text, texts } from "./document.js";
import type { Answer } from "./engine.js";

export interface BridgeCall {
  readonly host: Host;
  /** PHP command line program. */
  readonly php: string;
  /** As in SiteCode. */
  readonly codeCache?: string | undefined;
  /** Bridge script, absolute. */
  readonly script: string;
  readonly request: { readonly [name: string]: Json };
  /** Added to the request as they are, and taken out of everything that is reported. */
  readonly secrets?: Readonly<Record<string, Secret>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Milliseconds. */
  readonly timeout: number;
  /** For messages: `Drupal 7 cannot install example.com`. */
  readonly what: string;
  /** Code of failures that have none of their own. */
  readonly failure: "ENGINE_FAILED" | "INSTALL_FAILED" | "UPDATEDB_FAILED";
}

/** Settings of the PHP process itself; what can be set later, the script sets. */
const SETTINGS = ["display_errors=stderr", "log_errors=0", "auto_prepend_file=", "zend.exception_ignore_args=1"];
const NO_CACHE = ["opcache.enable_cli=0"];

/** Errors of a bridge script (its header has the list) that have a code of their own here. */
const OWN_CODES: Readonly<Record<string, ErrorCode>> = {
  wrong_site: "WRONG_SITE",
  not_installed: "NOT_INSTALLED",
  already_installed: "ALREADY_INSTALLED",
  old_php: "CONFIGURATION",
  bad_settings: "INVALID_FILE",
};

/**
 * Runs a bridge script: one JSON request on standard input, one JSON document on descriptor 3. Success is exit 0 and a
 * document and `ok: true`; `read` then takes the result, throwing DocumentError where it is not as agreed.
 *
 * Rejects with the codes that Engine names. `why` has the core's own message first, then where, then what it printed.
 * What PHP printed besides is kept with the operation (Host.keepOutput).
 */
export async function runBridge<T>(call: BridgeCall, read: (result: Fields) => T): Promise<Answer<T>> {
  const input = JSON.stringify({
    ...call.request,
    ...Object.fromEntries(Object.entries(call.secrets ?? {}).map(([name, secret]) => [name, secret.reveal()])),
  });
  const clean = withoutSecrets(call.secrets);
  const run = await runPhp(call, input, clean);

  const fail = (code: ErrorCode, why: readonly (string | undefined)[], during?: string) =>
    new ProvisionError(code, during === undefined ? call.what : clean(`${call.what}: ${during} failed`), {
      why: why.filter((line) => line !== undefined && line !== "").map((line) => clean(line as string)),
    });
  const stderr = lastLines(run.stderr);
  const keep = (printed: string | undefined) => call.host.keepOutput(clean([printed, run.stderr].filter((each) => each).join("\n")));

  let document: Fields | undefined;
  try {
    document = fields(JSON.parse(run.document), "the document");
    const { result, error: refusal } = document;
    if (!flag(document, "ok")) {
      const error = fields(refusal, "error");
      const at = optionalText(error, "at");
      const output = optionalText(error, "output");
      const code = OWN_CODES[text(error, "code")] ?? call.failure;
      const why = [text(error, "message"), at && `at ${at}`, ...texts(error, "notes"), output && `it printed: ${output}`];
      const said = stderr.filter((line) => !line.startsWith("running "));
      throw fail(code, [...why, ...said], optionalText(error, "during"));
    }
    if (run.code !== 0) {
      throw fail(call.failure, [`PHP ended with exit code ${run.code} after it had reported success`, ...stderr]);
    }
    keep(optionalText(document, "printed"));
    return { result: read(fields(result, "result")), warnings: texts(document, "warnings").map(clean) };
  } catch (error) {
    keep(undefined);
    if (error instanceof SyntaxError) {
      throw fail(call.failure, [
        `PHP ended with exit code ${run.code} and ${run.document === "" ? "no answer" : "an answer that is cut off"}`,
        ...stderr,
      ]);
    }
    if (error instanceof DocumentError) throw fail(call.failure, [`PHP gave an answer that is not as agreed: ${error.message}`, ...stderr]);
    throw error;
  }
}

async function runPhp(call: BridgeCall, input: string, clean: (text: string) => string): Promise<RunResult> {
  try {
    const settings = [...SETTINGS, ...((await codeCacheSettings(call.host, call.codeCache)) ?? NO_CACHE)];
    return await call.host.run([call.php, ...settings.flatMap((setting) => ["-d", setting]), call.script], {
      input: new Secret(input),
      document: true,
      anyExit: true,
      timeout: call.timeout,
      // The write gate of a site is not for us: whoever calls holds the site's lock.
      env: { PROVISION_OPERATION: "1", ...call.env },
    });
  } catch (error) {
    // A lost link is told by HostError.reached, and a missing program by its code: both say more than we could.
    if (!(error instanceof HostError) || error.reached !== "yes") throw error;
    if (error.code !== "COMMAND_FAILED" && error.code !== "TIMED_OUT") throw error;
    throw new ProvisionError(error.code === "TIMED_OUT" ? "TIMED_OUT" : call.failure, call.what, {
      why: [
        error.code === "TIMED_OUT" ? `PHP was ended after ${Math.round(call.timeout / 1000)} s without an answer` : error.message,
        ...error.why,
      ].map(clean),
      state: "how far PHP came is not known",
      cause: error,
    });
  }
}

function withoutSecrets(secrets: Readonly<Record<string, Secret>> = {}): (text: string) => string {
  const values = Object.values(secrets)
    .map((secret) => secret.reveal())
    .filter((value) => value !== "");
  return (text) => values.reduce((cleaned, value) => cleaned.replaceAll(value, "***"), text);
}

function lastLines(stderr: string): readonly string[] {
  return stderr
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "")
    .slice(-5);
}
