// A MariaDB of the bench's own, as an operator has it: what is committed is on the disk.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** @returns {Promise<{ port: number, remove: () => void } | undefined>} undefined: it is not installed. Its account is root, without a password. */
export async function startMariadb() {
  if (spawnSync("sh", ["-c", "command -v mariadbd && command -v mariadb-install-db"]).status !== 0) return undefined;
  const base = mkdtempSync(join(tmpdir(), "provision-bench-db-"));
  const port = await new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = probe.address();
      probe.close(() => resolve(free));
    });
  });
  const common = ["--no-defaults", `--datadir=${join(base, "data")}`, ...(process.getuid() === 0 ? ["--user=root"] : [])];
  const made = spawnSync("mariadb-install-db", [...common, "--auth-root-authentication-method=normal", "--skip-test-db"], {
    encoding: "utf8",
  });
  if (made.status !== 0) throw new Error(made.stderr);
  const server = [`--socket=${join(base, "socket")}`, `--port=${port}`, "--bind-address=127.0.0.1", `--pid-file=${join(base, "pid")}`];
  const child = spawn("mariadbd", [...common, ...server], { stdio: "ignore" });
  const remove = () => {
    child.kill("SIGKILL");
    rmSync(base, { recursive: true, force: true });
  };
  const answers = () =>
    spawnSync("mariadb", ["--no-defaults", "-uroot", "-h127.0.0.1", `-P${port}`, "--protocol=tcp", "-e", "SELECT 1"]).status === 0;
  for (let turn = 0; !answers(); turn++) {
    if (child.exitCode !== null || turn > 300) {
      remove();
      throw new Error("mariadbd does not come up");
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return { port, remove };
}
