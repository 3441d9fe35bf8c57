import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { runCompiled } from "./compiled.js";

// Started by bin/provision.js, and bundled beside the program: to compile its functions anew at each start takes a fifth of the time of a short command.
runCompiled(dirname(fileURLToPath(import.meta.url)));
