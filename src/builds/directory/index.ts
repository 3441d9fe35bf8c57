import { ProvisionError } from "../../core/errors.js";
import type { BuildSource } from "../source.js";

/**
 * A platform whose directory is there already (a context with `root` and no `makefile`), made by hand or by another
 * tool: nothing is built. With `copy` its tree is copied to the destination instead, so that ours may be changed.
 *
 * build() rejects with FILE_NOT_FOUND when the directory is missing, INVALID_VALUE when it is none, NAME_TAKEN when a
 * copy's destination exists.
 */
export function directorySource({ path, copy = false }: { readonly path: string; readonly copy?: boolean }): BuildSource {
  return {
    type: "directory",
    async build({ host, destination, progress }) {
      const real = await host.realPath(path);
      const stat = real === undefined ? undefined : await host.stat(real);
      if (real === undefined || stat === undefined)
        throw new ProvisionError("FILE_NOT_FOUND", `${host.name}: there is no directory ${path}`, { state: "nothing was built" });
      if (stat.type !== "directory")
        throw new ProvisionError("INVALID_VALUE", `${host.name}: ${path} is not a directory`, { state: "nothing was built" });
      if (copy) await copyTo(real, destination, host);
      progress?.(copy ? `${path} copied` : `${path} is there`);
      return { entries: [{ name: path, type: "directory", path: "", source: real }], warnings: [] };
    },
  };
}

async function copyTo(from: string, destination: string, host: Parameters<BuildSource["build"]>[0]["host"]): Promise<void> {
  if (await host.stat(destination))
    throw new ProvisionError("NAME_TAKEN", `${destination} already exists`, { state: "what is there was not touched" });
  const { randomBytes } = await import("node:crypto");
  const beside = destination.replace(/([^/]+)\/*$/, (name) => `.${name}.building-${randomBytes(6).toString("hex")}`);
  try {
    await host.uploadTree(from, beside);
    await host.rename(beside, destination);
  } finally {
    await host.remove(beside);
  }
}
