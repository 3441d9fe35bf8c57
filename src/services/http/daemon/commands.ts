import { ProvisionError } from "../../../core/errors.js";
import type { Host } from "../../../host/host.js";
import type { Daemon, Facts } from "./daemon.js";

/** Looks for the program, where a plain user's PATH does not lead too. Rejects with PROGRAM_MISSING, naming the package. */
export async function findDaemon(host: Host, daemon: Daemon): Promise<Facts> {
  for (const name of daemon.programs) {
    // By its full path where it can be: a line of sudoers wants that.
    for (const program of [`/usr/sbin/${name}`, `/usr/local/sbin/${name}`, name]) {
      let said: string;
      try {
        const { stdout, stderr } = await host.run([program, daemon.versionArgument], { anyExit: true, timeout: 30_000 });
        said = stdout + stderr;
      } catch (error) {
        if (error instanceof ProvisionError && error.code === "PROGRAM_MISSING") continue;
        throw error;
      }
      const version = /\/(\d+(?:\.\d+)+)/.exec(said)?.[1];
      if (version === undefined)
        throw new ProvisionError("CONFIGURATION", `${host.name}: ${program} ${daemon.versionArgument} does not say its version`);
      return { program, version: version.split(".").map(Number), ipv6: (await host.readFile("/proc/net/if_inet6")) !== undefined };
    }
  }
  throw new ProvisionError("PROGRAM_MISSING", `${host.name}: ${daemon.label} is not installed`, {
    next: [`apt-get install ${daemon.package}`],
  });
}
