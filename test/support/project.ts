import { fileURLToPath } from "node:url";

/** The repository, absolute. */
export const PROJECT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");
