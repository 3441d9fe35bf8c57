// A fleet on one web server: one command over all its sites, and one site more beside many.
import { spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../..", import.meta.url));
const provision = join(project, "bin/provision.js");

const DAEMONS = {
  nginx: {
    program: "/usr/sbin/nginx",
    main: (directory, top) =>
      `worker_processes 2;\npid ${directory}/pid;\nerror_log ${directory}/error.log;\ndaemon off;\nevents { worker_connections 256; }\n` +
      `http {\n  access_log off;\n  ${["client_body", "fastcgi", "proxy", "scgi", "uwsgi"].map((kind) => `${kind}_temp_path ${directory}/${kind};`).join(" ")}\n  include "${top}";\n}\n`,
    start: (main) => ["-c", main],
    test: (main) => `-t -c ${main}`,
    reload: (main) => `-c ${main} -s reload`,
  },
  apache: {
    program: "/usr/sbin/apache2",
    main: (directory, top) =>
      `ServerRoot ${directory}\nServerName localhost\nPidFile ${directory}/pid\nDefaultRuntimeDir ${directory}\nErrorLog ${directory}/error.log\n${[
        ...["mpm_event", "authn_core", "authn_file", "authz_core", "authz_host", "authz_user", "auth_basic", "alias", "dir", "headers"],
        ...["mime", "rewrite", "setenvif", "env", "proxy", "proxy_fcgi", "ssl", "socache_shmcb", "http2"],
      ]
        .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`)
        .join("")}TypesConfig /etc/mime.types\n<Directory />\n  Require all denied\n</Directory>\nInclude "${top}"\n`,
    start: (main) => ["-f", main, "-DFOREGROUND"],
    test: (main) => `-t -f ${main}`,
    reload: (main) => `-f ${main} -k graceful`,
  },
};

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function answers(port, host) {
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, path: "/robots.txt", headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on("error", () => resolve(undefined));
    asked.end();
  });
}

/**
 * `undefined` when the daemon is not installed. All times in milliseconds: one verify of `fleet` sites that changes each of them, the same
 * again, and with `many` sites beside it one verify that changes one, the plain test and reload of the daemon.
 */
export async function benchFleet(type, fleet, many) {
  const daemon = DAEMONS[type];
  if (!existsSync(daemon.program)) return undefined;
  const work = mkdtempSync(join(tmpdir(), "provision-bench-fleet-"));
  chmodSync(work, 0o755);
  const hub = join(work, "hub");
  const run = (program, args) => {
    const begun = performance.now();
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28 });
    if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr || stdout}`.slice(0, 3000));
    return { ms: performance.now() - begun, stdout };
  };
  const cli = (...args) => run(process.execPath, [provision, ...args, "--hub", hub]);
  let child;
  try {
    const port = await freePort();
    cli("init", "--local", hub, "--port", String(port));
    writeFileSync(
      join(hub, "core.make"),
      `core = 7.x\napi = 2\nprojects[drupal][type] = core\nprojects[drupal][download][type] = copy\nprojects[drupal][download][url] = "${join(project, "src/demo/sample")}"\n`,
    );
    cli("save", "@platform_b", "--root=platforms/b", "--makefile=core.make");
    cli("verify", "@platform_b");
    cli("save", "@s0.test", "--context_type=site", "--platform=@platform_b", "--profile=minimal");
    cli("install", "@s0.test");

    const directory = join(work, type);
    mkdirSync(directory);
    const main = join(directory, "main.conf");
    writeFileSync(main, daemon.main(directory, join(hub, `config/server_master/${type}.conf`)));
    const reloads = join(work, "reloads");
    writeFileSync(join(work, "reload"), `#!/bin/sh\necho >> ${reloads}\nexec ${daemon.program} ${daemon.reload(main)}\n`, { mode: 0o755 });
    cli("save", "@server_master", `--http_service_type=${type}`, `--http_test_cmd=${daemon.program} ${daemon.test(main)}`);
    cli("save", "@server_master", `--http_restart_cmd=${join(work, "reload")}`);
    cli("verify", "@server_master");
    child = spawn(daemon.program, daemon.start(main), { stdio: "ignore" });
    while ((await answers(port, "none.test")) === undefined) await sleep(50);

    // As many copies of what was installed; verify makes the rest of each.
    const alias = readFileSync(join(hub, "aliases/s0.test.yml"), "utf8");
    const copy = (from, to) => {
      for (let n = from; n < to; n++) {
        writeFileSync(join(hub, `aliases/s${n}.test.yml`), alias.replaceAll("s0.test", `s${n}.test`));
        for (const path of ["secrets/%.yml", "sites/%"])
          cpSync(join(hub, path.replace("%", "s0.test")), join(hub, path.replace("%", `s${n}.test`)), { recursive: true });
      }
    };
    const reloadsOf = (work) => {
      rmSync(reloads, { force: true });
      appendFileSync(reloads, "");
      const { ms } = work();
      return { ms, reloads: readFileSync(reloads, "utf8").length };
    };
    copy(1, fleet);
    const changing = reloadsOf(() => cli("verify", "--all", "-q"));
    const noop = reloadsOf(() => cli("verify", "--all", "-q"));
    copy(fleet, many);
    for (let n = 0; n < many; n++) {
      const vhosts = join(hub, `config/server_master/${type}/vhost.d`);
      const text = readFileSync(join(vhosts, "s0.test.conf"), "utf8");
      if (n >= fleet) writeFileSync(join(vhosts, `s${n}.test.conf`), text.replaceAll("s0.test", `s${n}.test`));
    }
    cli("save", "@s1.test", "--http_headers=X-Bench: 1");
    const one = reloadsOf(() => cli("verify", "@s1.test", "-q"));
    const test = run(daemon.program, daemon.test(main).split(" "));
    const vhosts = readdirSync(join(hub, `config/server_master/${type}/vhost.d`)).length;
    return { changing, noop, one, test: test.ms, vhosts };
  } finally {
    child?.kill();
    await sleep(500);
    rmSync(work, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const type of ["nginx", "apache"])
    console.log(type, JSON.stringify(await benchFleet(type, Number(process.argv[2] ?? 100), Number(process.argv[3] ?? 500))));
}
