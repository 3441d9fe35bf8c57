// A machine over SSH: what a command and a tree that is already there cost, and a verify of many sites, beside OpenSSH and rsync themselves.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../..", import.meta.url));
const provision = join(project, "bin/provision.js");
const ADDRESS = "127.0.0.2";
const ROOT = process.getuid() === 0;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until(what, condition) {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 300) throw new Error(`${what} does not come up`);
    await sleep(50);
  }
}

function run(program, args) {
  const begun = performance.now();
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr || stdout}`.slice(0, 3000));
  return { ms: performance.now() - begun, stdout };
}

async function startSshd(work, children) {
  const base = join(work, "sshd");
  mkdirSync(join(base, "home"), { recursive: true });
  const at = (name) => join(base, name);
  for (const key of ["identity", "host_key"]) run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(key)]);
  cpSync(at("identity.pub"), at("authorized_keys"));
  const port = await freePort();
  writeFileSync(at("known_hosts"), `[${ADDRESS}]:${port} ${readFileSync(at("host_key.pub"), "utf8").split(" ").slice(0, 2).join(" ")}\n`);
  const lines = [
    ...[`Port ${port}`, `ListenAddress ${ADDRESS}`, `HostKey ${at("host_key")}`, `AuthorizedKeysFile ${at("authorized_keys")}`],
    ...[`PidFile ${at("pid")}`, "StrictModes no", "UsePAM no", "LogLevel VERBOSE", "PermitRootLogin yes", "Subsystem sftp internal-sftp"],
    // What an account's shell reads first is its own affair.
    `SetEnv SHLVL=2 HOME=${at("home")}`,
  ];
  writeFileSync(at("config"), `${lines.join("\n")}\n`);
  if (ROOT) mkdirSync("/run/sshd", { recursive: true });
  const log = () => (existsSync(at("log")) ? readFileSync(at("log"), "utf8") : "");
  children.push(spawn("/usr/sbin/sshd", ["-D", "-f", at("config"), "-E", at("log")], { stdio: "ignore" }));
  await until("sshd", () => log().includes("Server listening"));
  return {
    port,
    identity: at("identity"),
    knownHosts: at("known_hosts"),
    connections: () => (log().match(/^Connection from /gm) ?? []).length,
  };
}

async function startWeb(work, root, port, children) {
  const base = join(work, "daemons");
  mkdirSync(base, { mode: 0o755 });
  const fpm = join(base, "php-fpm");
  const program = join("/usr/sbin", readdirSync("/usr/sbin").find((name) => /^php-fpm[\d.]+$/.test(name)) ?? "php-fpm");
  const user = ROOT ? "user = www-data\ngroup = www-data\nlisten.owner = www-data\nlisten.group = www-data\n" : "";
  writeFileSync(
    `${fpm}.conf`,
    `[global]\npid = ${fpm}.pid\nerror_log = ${fpm}.log\ndaemonize = no\n[www]\n${user}listen = ${fpm}.sock\npm = static\npm.max_children = 2\n`,
  );
  writeFileSync(`${fpm}.reload`, `#!/bin/sh\nkill -USR2 "$(cat ${fpm}.pid)"\n`, { mode: 0o755 });
  children.push(spawn(program, ["--nodaemonize", "--fpm-config", `${fpm}.conf`], { stdio: "ignore" }));
  await until("PHP-FPM", () => existsSync(`${fpm}.sock`));
  const main = join(base, "nginx.conf");
  const temporary = ["client_body", "fastcgi", "proxy", "scgi", "uwsgi"].map((kind) => `${kind}_temp_path ${base}/${kind};`).join(" ");
  writeFileSync(
    main,
    `${ROOT ? "user www-data;\n" : ""}worker_processes 1;\npid ${base}/nginx.pid;\nerror_log ${base}/error.log;\ndaemon off;\n` +
      `events { worker_connections 256; }\nhttp {\n  access_log off;\n  ${temporary}\n  include "${join(root, "config/web1/nginx.conf")}";\n}\n`,
  );
  return {
    settings: [
      ...["--http_service_type=nginx", `--http_port=${port}`, `--php_fpm_listen=${fpm}.sock`, `--php_fpm_restart_cmd=${fpm}.reload`],
      ...[`--php_fpm_test_cmd=${program} -t --fpm-config ${fpm}.conf`, `--http_test_cmd=/usr/sbin/nginx -t -c ${main}`],
      ...[`--http_restart_cmd=/usr/sbin/nginx -c ${main} -s reload`, ...(ROOT ? ["--web_group=www-data"] : [])],
    ],
    async serve() {
      children.push(spawn("/usr/sbin/nginx", ["-c", main], { stdio: "ignore" }));
      await until("nginx", () => existsSync(`${base}/nginx.pid`) && readFileSync(`${base}/nginx.pid`, "utf8") !== "");
    },
  };
}

const sorted = (all) => all.sort((a, b) => a - b);

/** What the host's own code does, in this process. */
async function benchHost({ port, identity, knownHosts }, tree, work) {
  const from = (path) => import(join(project, "dist", path));
  const [{ Scope }, { SshHost }, { SshConnections }, { LocalHost }, { syncTree }] = await Promise.all(
    ["core/scope.js", "host/ssh.js", "host/ssh-connection.js", "host/local.js", "host/sync-tree.js"].map(from),
  );
  const connections = new SshConnections();
  const { username: user } = userInfo();
  const target = { name: "@web1", host: ADDRESS, user, port, identity, knownHosts: [knownHosts], hub: "bench", config: "/dev/null" };
  const there = new SshHost(new Scope(), target, connections);
  const here = new LocalHost(new Scope());
  const timed = async (action) => {
    const begun = performance.now();
    await action();
    return performance.now() - begun;
  };
  const ssh = `ssh -F none -p ${port} -i ${identity} -oUserKnownHostsFile=${knownHosts} -oControlPath=${join(work, "master")}`;
  run("sh", ["-c", `exec ${ssh} -MNf ${user}@${ADDRESS}`]);
  try {
    const commands = [];
    const master = [];
    await there.run(["true"]);
    for (let n = 0; n < 100; n++) {
      commands.push(await timed(() => there.run(["true"])));
      if (n % 5 === 0) master.push(run("sh", ["-c", `exec ${ssh} ${user}@${ADDRESS} true`]).ms);
    }
    const [copy, plain] = [join(work, "copy"), join(work, "plain")];
    const rsync = ["-a", "-s", "--delay-updates", "--delete-delay", "-e", ssh, `${tree}/`, `${user}@${ADDRESS}:${plain}`];
    await syncTree(here, tree, there, copy, { delete: true });
    run("rsync", rsync);
    const syncs = [];
    const plains = [];
    for (let n = 0; n < 15; n++) {
      syncs.push(await timed(() => syncTree(here, tree, there, copy, { delete: true })));
      plains.push(run("rsync", rsync).ms);
    }
    return { commands: sorted(commands), master: sorted(master), syncs: sorted(syncs), plains: sorted(plains) };
  } finally {
    await connections.close();
    spawnSync("sh", ["-c", `exec ${ssh} -O exit ${user}@${ADDRESS}`], { stdio: "ignore" });
  }
}

/**
 * `undefined` when sshd, nginx or PHP-FPM is not installed. `core`: a Drupal 7, for the tree. Milliseconds, sorted: commands on a kept connection, and by
 * OpenSSH with a kept master; syncs of a tree that is there already, and by rsync alone with that master; verifies of `sites` sites that change
 * nothing, and the connections that each made.
 */
export async function benchSsh(core, sites) {
  const programs = ["/usr/sbin/sshd", "/usr/sbin/nginx", "/usr/bin/rsync"];
  if (!programs.every(existsSync) || !readdirSync("/usr/sbin").some((name) => /^php-fpm/.test(name))) return undefined;
  const work = realpathSync(mkdtempSync(join(tmpdir(), "provision-bench-ssh-")));
  chmodSync(work, 0o755);
  const children = [];
  try {
    const sshd = await startSshd(work, children);
    const host = await benchHost(sshd, core, work);
    const [hub, root] = [join(work, "hub"), join(work, "web1")];
    mkdirSync(root, { mode: 0o755 });
    const cli = (...args) => run(process.execPath, [provision, ...args, "--hub", hub]);
    cli("init", "--local", hub);
    cpSync(sshd.knownHosts, join(hub, "known_hosts"));
    const web = await startWeb(work, root, await freePort(), children);
    cli(
      ...["save", "@web1", "--context_type=server", `--remote_host=${ADDRESS}`, `--script_user=${userInfo().username}`],
      ...[
        `--ssh_port=${sshd.port}`,
        `--ssh_identity=${sshd.identity}`,
        `--aegir_root=${root}`,
        "--db_service_type=sqlite",
        ...web.settings,
      ],
    );
    cli("verify", "@web1");
    await web.serve();
    writeFileSync(
      join(hub, "core.make"),
      `core = 7.x\napi = 2\nprojects[drupal][type] = core\nprojects[drupal][download][type] = copy\nprojects[drupal][download][url] = "${join(project, "src/demo/sample")}"\n`,
    );
    cli("save", "@platform_b", "--root=platforms/b", "--makefile=core.make", "--web_server=@web1");
    cli("verify", "@platform_b");
    cli("save", "@s0.test", "--context_type=site", "--platform=@platform_b", "--profile=minimal", "--db_server=@web1");
    cli("install", "@s0.test");
    // As many copies of what was installed; verify makes the rest of each.
    const alias = readFileSync(join(hub, "aliases/s0.test.yml"), "utf8");
    for (let n = 1; n < sites; n++) {
      writeFileSync(join(hub, `aliases/s${n}.test.yml`), alias.replaceAll("s0.test", `s${n}.test`));
      cpSync(join(hub, "secrets/s0.test.yml"), join(hub, `secrets/s${n}.test.yml`));
      cpSync(join(root, "sites/s0.test"), join(root, `sites/s${n}.test`), { recursive: true });
    }
    cli("verify", "--platform", "@platform_b", "-q");
    const before = sshd.connections();
    const verifies = Array.from({ length: 5 }, () => {
      const { ms, stdout } = cli("verify", "--platform", "@platform_b", "--json");
      const changed = JSON.parse(stdout).results.reduce((sum, { counts }) => sum + counts.changed, 0);
      if (changed > 0) throw new Error(`a verify of sites on a spoke changed ${changed} things`);
      return ms;
    });
    return { ...host, verifies: sorted(verifies), connections: (sshd.connections() - before) / verifies.length };
  } finally {
    for (const child of children) child.kill();
    await sleep(500);
    rmSync(work, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(
    JSON.stringify(
      await benchSsh(process.env["PROVISION_TEST_DRUPAL7"] ?? join(project, "src/demo/sample"), Number(process.argv[2] ?? 20)),
      (_, value) => (typeof value === "number" ? Number(value.toFixed(1)) : value),
    ),
  );
