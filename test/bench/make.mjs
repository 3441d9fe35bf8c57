// A platform of 31 local projects (core tarball, 20 tarballs, 10 git repositories) against the same tree by tar and git, one after the other.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const provision = fileURLToPath(new URL("../../bin/provision.js", import.meta.url));
const ROUNDS = 5;

function run(program, args, options = {}) {
  const { status, stderr, stdout } = spawnSync(program, args, { encoding: "utf8", ...options });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr || stdout}`);
}

/** What others wrote before is on the disk by then: a build waits for its own files to be there, and must not pay for theirs. */
function timed(work) {
  run("sync", []);
  const begun = performance.now();
  work();
  return performance.now() - begun;
}

/** Files of about the size and number that a Drupal 7 core (1,100) and its modules (40) have. */
function files(directory, name, count) {
  for (let index = 0; index < count; index++) {
    const path = join(directory, `d${index % 23}`, `${name}${index}.inc`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `<?php\n${`// ${name} ${index} ${Math.sin(index)}\n`.repeat(20 + ((index * 37) % 400))}`);
  }
}

function generate(work) {
  const lines = ["core = 7.x", "api = 2"];
  const plain = [];
  const tarball = (name, count, path) => {
    files(join(work, "src", name), name, count);
    const archive = join(work, `${name}.tar.gz`);
    execFileSync("tar", ["-czf", archive, "-C", join(work, "src"), name]);
    const type = path === "" ? `projects[${name}][type] = core\n` : "";
    lines.push(`${type}projects[${name}][download][type] = get`, `projects[${name}][download][url] = ${archive}`);
    plain.push((root) => {
      mkdirSync(join(root, path), { recursive: true });
      run("tar", ["xzf", archive, "-C", join(root, path), "--strip-components=1"]);
    });
  };
  tarball("core", 1100, "");
  for (let index = 0; index < 20; index++) tarball(`m${index}`, 40, `sites/all/modules/m${index}`);
  for (let index = 0; index < 10; index++) {
    const name = `g${index}`;
    const path = join(work, "src", name);
    const git = (...args) => execFileSync("git", ["-c", "user.name=b", "-c", "user.email=b@example.com", ...args], { cwd: path });
    mkdirSync(path, { recursive: true });
    git("init", "-q", "-b", "main");
    for (const count of [10, 25, 40]) {
      files(path, name, count);
      git("add", "-A");
      git("commit", "-q", "-m", "c");
    }
    git("tag", "1.0");
    lines.push(`projects[${name}][download][url] = file://${path}`, `projects[${name}][download][tag] = 1.0`);
    plain.push((root) =>
      run("git", [
        "clone",
        "-q",
        "--depth",
        "1",
        "--branch",
        "1.0",
        "-c",
        "advice.detachedHead=false",
        `file://${path}`,
        join(root, `sites/all/modules/${name}`),
      ]),
    );
  }
  writeFileSync(join(work, "bench.make"), `${lines.join("\n")}\n`);
  return plain;
}

/**
 * The least of several times in milliseconds, the three taken in turn so that a busy moment hits all alike. Nothing is removed
 * before the end, and directories are spread over the disk: for a minute ext4 makes files slowly where many were removed.
 */
export function benchMake() {
  const work = mkdtempSync(join(tmpdir(), "provision-bench-make-"));
  spawnSync("chattr", ["+T", work]);
  try {
    const plain = generate(work);
    let made = 0;
    const place = () => {
      const path = join(work, `made${made++}`);
      mkdirSync(path);
      return path;
    };
    const build = (cache) => {
      const env = { ...process.env, XDG_CACHE_HOME: join(work, cache) };
      run(process.execPath, [provision, "make", join(work, "bench.make"), join(place(), "built")], { cwd: work, env });
    };
    const serial = () => {
      const root = place();
      for (const step of plain) step(root);
    };
    build("warm");
    const all = { serial: [], cold: [], warm: [] };
    for (let round = 0; round < ROUNDS; round++) {
      all.serial.push(timed(serial));
      all.cold.push(timed(() => build(`cold${round}`)));
      all.warm.push(timed(() => build("warm")));
    }
    return Object.fromEntries(Object.entries(all).map(([name, times]) => [name, Math.min(...times)]));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { serial, cold, warm } = benchMake();
  console.log(
    `serial ${serial.toFixed(0)} ms, cold ${cold.toFixed(0)} ms (${(cold / serial).toFixed(2)}), warm ${warm.toFixed(0)} ms (${(warm / serial).toFixed(2)})`,
  );
}
