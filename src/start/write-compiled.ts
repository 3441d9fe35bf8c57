import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PACKAGE_ROOT } from "../core/package-root.js";
import { Scope } from "../core/scope.js";
import { LocalHost } from "../host/local.js";
import { compiledIn } from "./compiled.js";

/**
 * Run by `npm run build`, last: runs some commands on a hub that is thrown away, so that the code which they need is kept compiled.
 * A machine without PHP installs no site; then less is kept, and nothing else is different.
 */
const work = mkdtempSync(join(tmpdir(), "provision-build-"));
const hub = join(work, "hub");
const files = join(work, "files");
const host = new LocalHost(new Scope());
const provision = (...args: string[]) =>
  host.run([process.execPath, join(PACKAGE_ROOT, "dist/start/record.js"), ...args], {
    anyExit: true,
    cwd: work,
    env: { XDG_CACHE_HOME: join(work, "cache") },
    timeout: 120_000,
  });
try {
  rmSync(compiledIn(join(PACKAGE_ROOT, "dist/program")), { recursive: true, force: true });
  mkdirSync(files);
  writeFileSync(join(files, "a.txt"), "a\n");
  await host.run(["tar", "-czf", join(work, "module.tar.gz"), "-C", work, "files"]);
  const core = join(PACKAGE_ROOT, "src/demo/sample");
  const lines = [
    "core = 7.x",
    "api = 2",
    "projects[drupal][type] = core",
    "projects[drupal][download][type] = copy",
    `projects[drupal][download][url] = "${core}"`,
    "projects[module][download][type] = get",
    `projects[module][download][url] = "${join(work, "module.tar.gz")}"`,
  ];
  writeFileSync(join(work, "core.make"), `${lines.join("\n")}\n`);
  await provision("make", join(work, "core.make"), join(work, "tree"));
  await provision("init", "--local", hub);
  const onHub = (...args: string[]) => provision(...args, "--hub", hub);
  await onHub("save", "@platform_a", "--root=platforms/a", `--makefile=${join(work, "core.make")}`);
  await onHub("verify", "@platform_a");
  await onHub("save", "@a.localhost", "--context_type=site", "--platform=@platform_a", "--profile=minimal");
  await onHub("install", "@a.localhost");
  await onHub("verify", "@a.localhost");
  await onHub("backup", "@a.localhost");
} finally {
  rmSync(work, { recursive: true, force: true });
}
