import { ACCOUNT_VARIABLES, accountVariables, type DatabaseAccess } from "../context/database-access.js";
import { Secret } from "../core/secret.js";
import { phpString } from "./php-literal.js";

/**
 * A settings.php without the database account, for sites that share a PHP-FPM pool (reference: engine.md c; Aegir calls it cloaking). The
 * web server tells PHP the account with each request, from a file that PHP cannot read; on the command line it stands in a file that only the
 * user of provision can read. Shared by the engines: Drupal 8 and later read settings.php more than once in a process, which these lines bear.
 */

/** Text of the file for the command line; undefined where there is no account. */
export function accountFile(access: DatabaseAccess): Secret | undefined {
  const variables = accountVariables(access);
  if (variables === undefined) return undefined;
  const lines = Object.entries(variables).map(([name, value]) => `  ${phpString(name)} => ${phpString(value.reveal())},\n`);
  return new Secret(
    `<?php\n\n// Written by provision, for itself and for drush. Nobody else may read it.\nreturn array(\n${lines.join("")});\n`,
  );
}

/** `lines` are run when the account is known, and say `accountValue` where they mean it; afterwards $_SERVER and $_ENV hold nothing of it. */
export function withAccount(file: string, lines: string): string {
  const names = ACCOUNT_VARIABLES.map(phpString).join(", ");
  return `// No account of the database stands here, for PHP of other sites could read it: the web server gives it with each request, and the command
// line takes it from a file of provision's own user.
if (!isset($_SERVER['db_passwd']) && is_readable(${phpString(file)})) {
  $_SERVER = (include ${phpString(file)}) + $_SERVER;
}
if (isset(${ACCOUNT_VARIABLES.map((name) => `$_SERVER[${phpString(name)}]`).join(", ")})) {
${lines.replace(/^(?=.)/gm, "  ")}}
foreach (array(${names}) as $provision_name) {
  unset($_SERVER[$provision_name], $_ENV[$provision_name]);
  putenv($provision_name);
}
unset($provision_name);
`;
}

/** PHP expression. */
export function accountValue(name: (typeof ACCOUNT_VARIABLES)[number]): string {
  return `rawurldecode($_SERVER[${phpString(name)}])`;
}
