import type { Argv } from "../../../host/host.js";

/**
 * Comments on extensions, which only their owners may set, are left out; rows, which stand between COPY and \., are not looked at.
 */
export const PORTABLE: Argv = ["sed", "-E", "-e", "/^COPY .* FROM stdin;$/,/^\\\\\\.$/b", "-e", "/^COMMENT ON EXTENSION /d"];
