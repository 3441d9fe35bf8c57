import { EXIT_TABLE } from "../../src/cli.js";
import { commands } from "../../src/commands/index.js";
import { type Kind, properties } from "../../src/context/schema.js";
import { FINDINGS } from "../../src/operations/parts/findings.js";

/** The parts of the README that are made from the code; by the name of their markers. */
function readmeParts(): Readonly<Record<string, string>> {
  return { commands: commandTable(), "exit codes": exitTable(), contexts: contextTables(), findings: findingTable() };
}

/** The text with every marked part made anew. */
export function withParts(readme: string): string {
  return Object.entries(readmeParts()).reduce(
    (text, [name, part]) =>
      text.replace(new RegExp(`<!-- ${name} -->[\\s\\S]*?<!-- /${name} -->`), () => `<!-- ${name} -->\n${part}\n<!-- /${name} -->`),
    readme,
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

const GROUPS = ["hub", "platform", "site", "backups", "local", "operations"] as const;

function commandTable(): string {
  const rows = GROUPS.flatMap((group) =>
    commands
      .filter((command) => command.group === group)
      .map(({ name, arguments: args = [], summary }) => [
        group,
        `\`${[name, ...args.map((argument) => argument.name)].join(" ")}\``,
        summary,
      ]),
  );
  return table(["group", "command", "what it does"], rows);
}

function findingTable(): string {
  return table(
    ["kind", "", "what it means"],
    Object.entries(FINDINGS).map(([kind, [severity, says]]) => [`\`${kind}\``, severity, says]),
  );
}

function exitTable(): string {
  const rows = EXIT_TABLE.split("\n")
    .slice(1)
    .map((line) => /^ {2}(.{20}) (.*)$/.exec(line))
    .map((match) => [match?.[1]?.trim() ?? "", match?.[2] ?? ""]);
  return table(["code", "meaning"], rows);
}

const KINDS: readonly (readonly [Kind, string])[] = [
  ["server", "**Server** (`aliases/server_master.yml` is `@server_master`)"],
  ["platform", "**Platform**"],
  ["site", "**Site**"],
  ["client", "**Client**"],
  ["hub", "**provision.yml**"],
];

function contextTables(): string {
  return KINDS.map(([kind, title]) => {
    const rows = [...properties(kind).values()]
      .filter(({ key }) => key !== "context_type")
      .map(({ key, type, words, required, example, description }) => [
        `\`${key}\`${required ? " (needed)" : ""}`,
        words ? words.join(" or ") : type,
        `\`${typeof example === "string" ? example : JSON.stringify(example)}\``,
        description,
      ]);
    return `${title}\n\n${table(["property", "type", "example", "meaning"], rows)}`;
  }).join("\n\n");
}
