import { ProvisionError } from "../../core/errors.js";
import type { Argv, Host } from "../../host/host.js";
import { phpProgram } from "../php.js";

export type Sharing = "opcache" | "apcu";

/** PHP-FPM as it was found on the machine. */
export interface Program {
  readonly program: string;
  /** systemd's name of it. */
  readonly unit: string;
  /** Where root lets it include a file, as far as that is known. */
  readonly poolDirectory: string;
  /** Extensions that share memory among its pools, as far as it loads them. */
  readonly sharing: readonly Sharing[];
}

/** The PHP-FPM that belongs to a PHP command line program. Rejects with PROGRAM_MISSING, naming the package. */
export async function findFpm(host: Host, php: string | null): Promise<Program> {
  const version = (php === null ? undefined : /(?:^|php)(\d+\.\d+)$/.exec(php)?.[1]) ?? (await versionOf(host, php ?? undefined));
  const names = version === undefined ? ["php-fpm"] : [`php-fpm${version}`, "php-fpm"];
  for (const name of names) {
    // By its full path where it can be: a line of sudoers wants that.
    for (const program of [`/usr/sbin/${name}`, `/usr/local/sbin/${name}`, name]) {
      let loaded: string;
      try {
        ({ stdout: loaded } = await host.run([program, "-m"], { timeout: 30_000 }));
      } catch (error) {
        if (error instanceof ProvisionError && error.code === "PROGRAM_MISSING") continue;
        throw error;
      }
      const sharing: readonly Sharing[] = [
        ...(/^Zend OPcache$/m.test(loaded) ? (["opcache"] as const) : []),
        ...(/^apcu$/m.test(loaded) ? (["apcu"] as const) : []),
      ];
      return name === "php-fpm"
        ? { program, unit: "php-fpm", poolDirectory: "/etc/php-fpm.d", sharing }
        : { program, unit: `php${version}-fpm`, poolDirectory: `/etc/php/${version}/fpm/pool.d`, sharing };
    }
  }
  throw new ProvisionError("PROGRAM_MISSING", `${host.name}: PHP-FPM${version === undefined ? "" : ` ${version}`} is not installed`, {
    next: [`apt-get install php${version ?? ""}-fpm`],
  });
}

/** As `8.2`; undefined when the program does not run. */
async function versionOf(host: Host, php: string | undefined): Promise<string | undefined> {
  const asked: Argv = [phpProgram(php), "-n", "-r", "echo PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION;"];
  try {
    const { stdout } = await host.run(asked, { timeout: 30_000 });
    return /^\d+\.\d+$/.test(stdout) ? stdout : undefined;
  } catch {
    return undefined;
  }
}
