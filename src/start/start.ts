import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { useCompiled } from "./compiled.js";

// Started by bin/provision.js, and bundled beside the program: to compile its functions anew at each start takes a fifth of the time of a short command.
useCompiled(dirname(fileURLToPath(import.meta.url)));
createRequire(import.meta.url)("./main.cjs");
