import type { Argv } from "../../../host/host.js";

/**
 * Comments on extensions, which only their owners may set, are left out; rows, which stand between COPY and \., are not looked at.
 */
export const PORTABLE: Argv = ["sed", "-E", "-e", "/^COPY .* FROM stdin;$/,/^\\\\\\.$/b", "-e", "/^COMMENT ON EXTENSION /d"];

/**
 * What somebody else's dump goes through before psql reads it: psql runs programs that its input names, unless it is told first to take none of its own
 * commands. The key, which nobody who wrote the dump can know, ends that; lines by which pg_dump itself does the same are left out.
 */
export function restricted(key: string): Argv {
  return [
    "sed",
    "-E",
    "-e",
    `1i\\\\\\restrict ${key}`,
    "-e",
    "/^COPY .* FROM stdin;$/,/^\\\\\\.$/b",
    "-e",
    "/^\\\\(un)?restrict [A-Za-z0-9]+$/d",
    "-e",
    "/^COMMENT ON EXTENSION /d",
    "-e",
    "/^ALTER [A-Z ]+ .* OWNER TO .*;$/d",
    "-e",
    "/^(GRANT|REVOKE) .*;$/d",
  ];
}
