// Inventory of a platform by scanning its code, in a process of its own: what a first verify pays for it.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../..", import.meta.url));
const EXTENSIONS = 100;
const SCAN = `
import { detectCore } from "${project}dist/engines/index.js";
import { scanPlatform } from "${project}dist/engines/scan.js";
import { Scope } from "${project}dist/core/scope.js";
import { LocalHost } from "${project}dist/host/local.js";
const host = new LocalHost(new Scope());
const core = await detectCore(host, process.argv[1]);
const begun = performance.now();
const { packages } = await scanPlatform(host, core);
console.log(JSON.stringify({ ms: performance.now() - begun, packages: packages.length }));
`;

/** Modules as contributed ones are: info, code, updates, some directories with files that are nothing of ours. */
function contributed(root) {
  for (let number = 0; number < EXTENSIONS; number++) {
    const name = `contrib_${number}`;
    const directory = join(root, "sites/all/modules/contrib", name);
    for (const below of ["includes", "js", "views"]) {
      mkdirSync(join(directory, below), { recursive: true });
      for (let file = 0; file < 8; file++) writeFileSync(join(directory, below, `file_${file}.${below === "js" ? "js" : "inc"}`), "");
    }
    const info = `name = ${name}\ndescription = Something\ncore = 7.x\ndependencies[] = system\n; Information added by drupal.org\nversion = "7.x-1.${number}"\nproject = "${name}"\n`;
    const updates = Array.from(
      { length: 20 },
      (_, update) => `/** Changes. */\nfunction ${name}_update_${7000 + update}() {\n  return t('done');\n}\n`,
    );
    writeFileSync(join(directory, `${name}.info`), info);
    writeFileSync(join(directory, `${name}.module`), "<?php\n");
    writeFileSync(join(directory, `${name}.install`), `<?php\n${updates.join("\n")}`);
  }
}

/** Milliseconds, sorted, of some rounds; `packages`: how many were found. */
export function benchInventory(core) {
  const work = mkdtempSync(join(tmpdir(), "provision-bench-inventory-"));
  try {
    const root = join(work, "platform");
    cpSync(core, root, { recursive: true });
    contributed(root);
    let packages = 0;
    const ms = Array.from({ length: 9 }, () => {
      const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", SCAN, root], { encoding: "utf8" });
      if (status !== 0) throw new Error(`the scan ended with ${status}: ${stderr}`);
      const found = JSON.parse(stdout);
      packages = found.packages;
      return found.ms;
    });
    if (packages < EXTENSIONS) throw new Error(`the scan found ${packages} packages of ${EXTENSIONS}`);
    return { ms: ms.sort((a, b) => a - b), packages };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
