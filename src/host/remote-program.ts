import { reveal, Secret } from "../core/secret.js";
import type { Argv } from "./host.js";
import { quoted } from "./quoting.js";

/**
 * How a program is started through a login shell that we do not know: one word-quoted line for it, in which /bin/sh looks
 * whether everything is there, says so behind a mark on both of its outputs, and becomes the program. What was printed
 * before the mark is the login shell's and nobody's business.
 *
 * Secrets are in no argument: they are the first bytes of standard input, of a length that the line knows.
 */

export interface RemoteProgram {
  readonly argv: Argv;
  /** On both outputs, before what the program writes. */
  readonly mark: string;
  readonly cwd?: string | undefined;
  readonly env?: Readonly<Record<string, string | Secret | undefined>> | undefined;
  /** The program's descriptor 3 is standard output, and its standard output is standard error. */
  readonly document?: boolean | undefined;
  /** Descriptor 3 is a file without a name that holds it. */
  readonly secretFile?: Secret | undefined;
  /** Files (pipes) that are its standard input and output. */
  readonly stdin?: string | undefined;
  readonly stdout?: string | undefined;
  /** Locked shared, as descriptor 9, for as long as the program and what it starts runs. */
  readonly lock?: string | undefined;
}

/** Why the program did not begin, as the mark says it; a number is its process id. */
export type NotBegun = "cwd" | "missing" | "denied" | "secret" | "lock";

/** A command line for the login shell, and what has to be written to standard input before anything else. */
export interface RemoteCommand {
  readonly line: string;
  readonly before: Buffer;
}

/** An argument, and the login shell gets the whole line as one, may have 128 KB. */
const LONGEST_LINE = 100_000;

/** The programs of administrators are not in the path that sshd gives. */
const PATH = 'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"';

export function remoteCommand(program: RemoteProgram): RemoteCommand {
  const words = program.argv.map(quoted);
  const long = words.join(" ").length > LONGEST_LINE / 2;
  const settings = Object.entries(program.env ?? {}).map(([name, value]) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new Error(`${name} is no name of a variable`);
    return { secret: value instanceof Secret, text: value === undefined ? `unset ${name}` : `export ${name}=${quoted(reveal(value))}` };
  });
  const hidden = [...settings.filter(({ secret }) => secret).map(({ text }) => text), ...(long ? [`set -- ${words.join(" ")}`] : [])];
  // The last line shows that nothing was cut off on the way.
  const first = hidden.length === 0 ? Buffer.alloc(0) : Buffer.from(`${hidden.join("\n")}\n#${program.mark}`);
  const secret = program.secretFile === undefined ? undefined : Buffer.from(program.secretFile.reveal());
  const lines = [
    PATH,
    `say() { printf '\\n%s %s\\n' ${program.mark} "$1"; printf '\\n%s %s\\n' ${program.mark} "$1" >&2; }`,
    'no() { say "$1"; exit 255; }',
    ...(program.lock === undefined ? [] : [`{ exec 9<"${program.lock}" && flock -s -n 9; } 2>/dev/null || no lock`]),
    ...(first.length === 0
      ? []
      : [
          `hidden=$(head -c ${first.length})`,
          `case $hidden in *"#${program.mark}") eval "$hidden" ;; *) no secret ;; esac`,
          "unset hidden",
        ]),
    ...settings.filter((setting) => !setting.secret).map(({ text }) => text),
    ...(program.cwd === undefined ? [] : [`cd -- ${quoted(program.cwd)} 2>/dev/null || no cwd`]),
    'case $1 in */*) [ -x "$1" ] && [ ! -d "$1" ] || { [ -e "$1" ] && no denied; no missing; } ;; *) command -v "$1" >/dev/null 2>&1 || no missing ;; esac',
    ...(secret === undefined
      ? []
      : [
          // Without a name before anything is in it; descriptor 3 keeps it.
          'file=$(mktemp -t provision-secret-XXXXXXXXXX) && exec 3<>"$file" && rm -f "$file" || no secret',
          `head -c ${secret.length} >&3 || no secret`,
        ]),
    'say "$$"',
    `exec "$@"${program.stdin === undefined ? "" : ` <${quoted(program.stdin)}`}${program.stdout === undefined ? "" : ` >${quoted(program.stdout)}`}${program.document ? " 3>&1 1>&2" : ""}`,
  ];
  return {
    line: `exec /bin/sh -c ${quoted(lines.join("\n"))} provision${long ? "" : ` ${words.join(" ")}`}`,
    before: Buffer.concat([first, ...(secret === undefined ? [] : [secret])]),
  };
}

/** Takes what comes before the mark away from an output, chunk by chunk. */
export class Marked {
  readonly #mark: Buffer;
  #held: Buffer = Buffer.alloc(0);
  /** What the mark says; undefined until it was seen. */
  said: string | undefined;

  constructor(mark: string) {
    this.#mark = Buffer.from(`\n${mark} `);
  }

  /** What was printed before the mark, as far as it is kept. */
  get noise(): string {
    return this.said === undefined ? this.#held.toString() : "";
  }

  /** The program's own bytes of this chunk. */
  take(chunk: Buffer): Buffer {
    if (this.said !== undefined) return chunk;
    this.#held = Buffer.concat([this.#held, chunk]);
    const at = this.#held.indexOf(this.#mark);
    if (at < 0) {
      // A shell that prints without end: only what may be the beginning of the mark, and what a message can show.
      if (this.#held.length > 65_536) this.#held = Buffer.from(this.#held.subarray(-4096));
      return Buffer.alloc(0);
    }
    const end = this.#held.indexOf("\n", at + this.#mark.length);
    if (end < 0) return Buffer.alloc(0);
    this.said = this.#held.subarray(at + this.#mark.length, end).toString();
    const rest = this.#held.subarray(end + 1);
    this.#held = Buffer.alloc(0);
    return rest;
  }
}
