import { join } from "node:path";
import type { Script } from "node:vm";
import { PACKAGE_ROOT } from "../core/package-root.js";
import { compiledIn, keepCompiled, runCompiled } from "./compiled.js";

// One command as bin/provision.js runs it; the code that it needed is then kept, beside what earlier ones needed.
const bundle = join(PACKAGE_ROOT, "dist/program");
const loaded = new Map<string, Script>();
process.on("exit", () => {
  for (const [name, script] of loaded) keepCompiled(compiledIn(bundle), name, script);
});
runCompiled(bundle, (name, script) => loaded.set(name, script));
