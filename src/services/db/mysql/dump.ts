import type { Argv } from "../../../host/host.js";
import { identifier } from "./sql.js";

const DEFINER = "DEFINER=(`([^`]|``)*`@`([^`]|``)*`|`([^`]|``)*`)";
const WITH_DEFINER = [
  "\\/\\*!50013 DEFINER=",
  "\\/\\*!50003 CREATE\\*\\/ \\/\\*!500(17|20) DEFINER=",
  "\\/\\*!50106 CREATE\\*\\/ \\/\\*!50117 DEFINER=",
  "CREATE (OR REPLACE )?(ALGORITHM=[A-Z]+ )?DEFINER=",
];
const MODES = "\\/\\*!50003 SET sql_mode";

/**
 * What a dump goes through so that it loads on MariaDB and MySQL, under an account without rights beyond its database. A line of rows
 * begins with INSERT or a bracket and has its line ends escaped: none of these patterns meets data.
 *
 * - MariaDB's first line, which MySQL's client and older ones of MariaDB take for a command.
 * - DEFINER of views, triggers, routines and events: setting somebody else's needs a right over the whole server.
 * - NO_AUTO_CREATE_USER, a mode that MySQL 8 no longer knows.
 * - Rows of the tables given.
 *
 * Each pattern is looked for through a whole line, and all of a table's rows are one line: those that begin as none of them does, which is
 * nearly all bytes, go by after one look.
 */
export function portable(structureOnly: readonly string[]): Argv {
  const expressions = [
    // All rows in one line, or each in its own: the statement ends where a line ends with a semicolon.
    ...structureOnly.map(
      (table, index) => `/^INSERT INTO ${pattern(identifier(table))} [(V]/{:rows${index};/;$/d;N;s/^.*\\n//;brows${index}}`,
    ),
    "/^[^/C]/b",
    "1{/^\\/\\*M?!999999.*sandbox/d}",
    `/^(${WITH_DEFINER.join("|")})/s/ ?${DEFINER}//`,
    `/^${MODES}/s/NO_AUTO_CREATE_USER,//`,
    `/^${MODES}/s/,?NO_AUTO_CREATE_USER//`,
  ];
  return ["sed", "-E", ...expressions.flatMap((expression) => ["-e", expression])];
}

/** A regular expression of sed's that only this text fits. */
function pattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&").replaceAll("\n", "\\n");
}
