import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ProvisionError } from "../core/errors.js";
import { Scope } from "../core/scope.js";
import type { Action, CommandDefinition } from "./definition.js";

const PLATFORM = "@platform_demo";
const SITE = "@demo.localhost";

export const demo: CommandDefinition = {
  name: "demo",
  group: "local",
  summary: "make a hub, build a platform, install a site, and serve it",
  description:
    "Makes a local hub in DIR (default ~/provision-demo; PHP's own server, SQLite), builds a platform, installs the site demo.localhost, prints its URL and a one-time login link, and serves it until Ctrl-C. Builds the newest Drupal that this PHP runs when Composer can get it; else Drupal 7 by a make file when drupal.org or a mirror can be reached, else the bundled sample core, and says which. A second run on the same DIR changes nothing.",
  arguments: [{ name: "[dir]", description: "directory of the hub" }],
  options: [
    { flags: "--check", description: "fetch the front page and a login, print what came, and exit" },
    { flags: "--drupal <version>", description: "7, 10 or 11 (which needs PHP 8.3), when it can be had" },
    { flags: "--sample", description: "the bundled sample core, also when Drupal can be reached" },
    {
      flags: "--mirror <prefix=place>",
      description: "take URLs with this prefix from a directory or another URL (entered into provision.yml)",
    },
    { flags: "--port <port>", description: "port to serve on (default 8080, or what the hub has)" },
  ],
  examples: [
    { line: "provision demo /tmp/x", says: "then open the URL it prints" },
    { line: "provision demo /tmp/x --check", says: "for CI: exit 0 when the site answers and the login works" },
  ],
  load: async () => ({ run }),
};

const run: Action = async (invocation) => {
  const { operate } = await import("./hub.js");
  const { Services } = await import("../operations/services.js");
  const { futureHub, init } = await import("../operations/init.js");
  const { DRUPALS, demoFiles, PROJECT } = await import("../operations/demo.js");
  const { save } = await import("../operations/save.js");
  const { verifyServer } = await import("../operations/verify-server.js");
  const { verifyPlatform } = await import("../operations/verify-platform.js");
  const { verifySite } = await import("../operations/verify-site.js");
  const { install } = await import("../operations/install.js");
  const { options, session } = invocation;
  if (session.common.dryRun)
    throw new ProvisionError("USAGE", "demo has no dry run: its steps stand on each other", { next: ["provision demo DIR --check"] });
  const port = Number(options["port"] ?? 8080);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new ProvisionError("USAGE", `--port=${String(options["port"])} is not a port`);
  const drupal = options["drupal"] === undefined ? undefined : String(options["drupal"]);
  if (drupal !== undefined && !DRUPALS.includes(drupal))
    throw new ProvisionError("USAGE", `--drupal=${drupal}: the demo builds ${DRUPALS.join(", ")}`, {
      ...(drupal === "backdrop" ? { why: ["Backdrop works with MariaDB and MySQL alone, and the demo needs no database server"] } : {}),
      next: ["provision demo --drupal=10"],
    });
  const root = resolve(invocation.arguments[0] ?? join(homedir(), "provision-demo"));
  session.severalTargets();
  let changed = 0;
  // One after the other; the first that fails ends the demo.
  const step = async (result: Promise<{ readonly ok: boolean; readonly counts: { readonly changed: number } }>) => {
    const { ok, counts } = await result;
    changed += counts.changed;
    return ok;
  };
  if (!(await step(operate(invocation, futureHub(root, new Scope()), "init", root, init, { local: true, port })))) return;
  const files = await operate(invocation, await Services.of(root, new Scope()), "demo", root, demoFiles, {
    platform: PLATFORM,
    drupal,
    sample: options["sample"] === true,
    mirrors: mirrorsOf(options["mirror"]),
  });
  if (!(await step(Promise.resolve(files)))) return;
  const { composer, why } = files.data ?? {};
  const use = await Services.of(root, new Scope());
  if (!(await step(operate(invocation, use, "verify", "@server_master", verifyServer, { name: "@server_master" })))) return;
  const platform = new Map(
    typeof composer === "string"
      ? [
          ["root", "platforms/demo/web"],
          ["composer", PROJECT],
          ["composer_version", composer],
        ]
      : [
          ["root", "platforms/demo"],
          ["makefile", "makes/demo.make"],
        ],
  );
  if (
    !(await use.store.read(PLATFORM)) &&
    !(await step(operate(invocation, use, "save", PLATFORM, save, { name: PLATFORM, type: "platform", changes: platform })))
  )
    return;
  if (!(await step(operate(invocation, use, "verify", PLATFORM, verifyPlatform, { name: PLATFORM })))) return;
  const site = new Map([
    ["uri", SITE.slice(1)],
    ["platform", PLATFORM],
  ]);
  if (
    !(await use.store.read(SITE)) &&
    !(await step(operate(invocation, use, "save", SITE, save, { name: SITE, type: "site", changes: site })))
  )
    return;
  const installed = (await use.store.need(SITE, "site")).generation !== undefined;
  const made = installed
    ? operate(invocation, use, "verify", SITE, verifySite, { name: SITE })
    : operate(invocation, use, "install", SITE, install, { name: SITE });
  if (!(await step(made))) return;
  const { introduce, look } = await import("../operations/demo-site.js");
  await session.subject({ command: "demo", target: SITE }, async (emit) => {
    if (typeof why === "string") emit({ type: "note", message: `${why}: a make file was built instead` });
    emit({ type: "note", message: await introduce(use, root, SITE) });
    if (options["check"] === true) await look(use, SITE, changed, emit);
  });
  if (options["check"] === true || session.exit !== 0) return;
  const { serveSites } = await import("../operations/serve.js");
  const { askSite } = await import("../operations/ask-site.js");
  const { result } = await askSite(use, SITE, "login", session.common.lockWait, session.stop, ({ engine, code }) => engine.login(code, 1));
  await session.subject({ command: "serve", target: "@server_master" }, async (emit) => {
    emit({ type: "text", lines: [`Login (once): ${result.url}`] });
    await serveSites(use, "@server_master", {
      port: options["port"] === undefined ? undefined : port,
      address: "127.0.0.1",
      emit,
      stop: session.stop,
    });
  });
};

function mirrorsOf(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  const pairs = String(value)
    .split(",")
    .map((pair): [string, string] => {
      const at = pair.indexOf("=");
      if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
      throw new ProvisionError("USAGE", `--mirror: ${pair} is not prefix=place`, {
        next: ["--mirror=https://ftp.drupal.org/files/projects/=/srv/mirror"],
      });
    });
  return Object.fromEntries(pairs);
}
