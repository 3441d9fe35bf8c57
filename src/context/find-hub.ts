import { access } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { isSystemError, ProvisionError } from "../core/errors.js";

export interface WhereToLook {
  /** `--hub DIR`. */
  readonly hub?: string | undefined;
  /** `PROVISION_HUB` is read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Where Aegir has always been. */
  readonly standard?: string;
}

export const SETTINGS = "provision.yml";

/**
 * Directory of the hub, absolute (DESIGN 2): `--hub`, else `PROVISION_HUB`, else the nearest parent directory
 * with a provision.yml, else /var/aegir when it has one. Rejects with HUB_NOT_FOUND, which names `provision init`.
 */
export async function findHub({ hub, env, cwd, standard = "/var/aegir" }: WhereToLook): Promise<string> {
  const { PROVISION_HUB } = env;
  const [given, source] = hub !== undefined ? [hub, "--hub"] : PROVISION_HUB ? [PROVISION_HUB, "PROVISION_HUB"] : [];
  if (given !== undefined) {
    const root = resolve(cwd, given);
    if (given !== "" && (await hasSettings(root))) return root;
    throw hubNotFound(`${source} names ${root}, which has no ${SETTINGS}`, root);
  }
  for (let directory = resolve(cwd); ; directory = dirname(directory)) {
    if (await hasSettings(directory)) return directory;
    if (directory === dirname(directory)) break;
  }
  if (await hasSettings(standard)) return standard;
  throw hubNotFound(`there is no hub here: no ${SETTINGS} in ${resolve(cwd)}, above it or in ${standard}`, "DIR");
}

async function hasSettings(directory: string): Promise<boolean> {
  try {
    await access(join(directory, SETTINGS));
    return true;
  } catch (error) {
    if (isSystemError(error)) return false;
    throw error;
  }
}

export function hubNotFound(message: string, directory: string): ProvisionError {
  return new ProvisionError("HUB_NOT_FOUND", message, {
    next: [`provision init ${directory}`, "or name the hub: --hub DIR, or PROVISION_HUB=DIR"],
  });
}
