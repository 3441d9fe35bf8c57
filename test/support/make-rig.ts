import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { type MakeOptions, makeSource } from "../../src/builds/make/index.js";
import type { BuildReport, BuildRequest } from "../../src/builds/source.js";
import { ProvisionError } from "../../src/core/errors.js";
import { Scope } from "../../src/core/scope.js";
import { LocalHost } from "../../src/host/local.js";
import { FileServer } from "./file-server.js";
import { archive, type Files, md5, releaseHistory, temporaryDirectory, writeFiles } from "./make-fixtures.js";

export interface Platform {
  readonly root: string;
  readonly report: BuildReport;
}

/** Make files, a loopback server for what they name, and a cache, in a directory of its own. */
export class MakeRig {
  readonly server = new FileServer();
  work = "";
  readonly #releases = new Map<string, Buffer>();
  #number = 0;

  async start(): Promise<void> {
    await this.server.start();
  }

  async stop(): Promise<void> {
    await this.server.stop();
    if (this.work !== "") rmSync(this.work, { recursive: true, force: true });
  }

  /** Before each test: an empty directory and cache. */
  reset(): void {
    if (this.work !== "") rmSync(this.work, { recursive: true, force: true });
    this.work = temporaryDirectory();
    this.#number = 0;
  }

  write(files: Files): void {
    writeFiles(this.work, files);
  }

  /** A tarball on the server. */
  tarball(name: string, files: Files, kind: "tar.gz" | "tar.bz2" | "tar" | "zip" = "tar.gz"): string {
    return this.server.serve(`/${name}.${kind}`, archive(kind, name, files));
  }

  /** Releases of a project at `url/rh`, newest first, each a tarball of these files and `v.txt`. */
  project(name: string, core: string, versions: readonly string[], type = "module", files: Files = {}): void {
    const releases = versions.map((version) => {
      // a release never changes
      const key = `${this.work}/${name}-${version}`;
      const body = this.#releases.get(key) ?? archive("tar.gz", name, { "v.txt": `${name} ${version}\n`, ...files });
      this.#releases.set(key, body);
      const extra = /-(dev|(?:alpha|beta|rc)\d*)$/.exec(version)?.[1];
      return { version, url: this.server.serve(`/files/${name}-${version}.tar.gz`, body), md5: md5(body), ...(extra ? { extra } : {}) };
    });
    this.server.serve(`/rh/${name}/${core}`, releaseHistory(type, releases));
  }

  get location(): string {
    return `${this.server.url}/rh`;
  }

  async build(
    text: string,
    options: Partial<MakeOptions> = {},
    request: Partial<BuildRequest> = {},
    name = "site.make",
  ): Promise<Platform> {
    this.write({ [name]: text });
    return this.buildFile(join(this.work, name), options, request);
  }

  async buildFile(makefile: string, options: Partial<MakeOptions> = {}, request: Partial<BuildRequest> = {}): Promise<Platform> {
    const destination = request.destination ?? join(this.work, `platform${this.#number++}`);
    const scope = new Scope();
    if (request.signal) scope.signal = request.signal;
    const report = await makeSource({ updateUrl: this.location, ...options, makefile }).build({
      host: new LocalHost(scope),
      cache: join(this.work, "cache"),
      mirrors: {},
      offline: false,
      jobs: 4,
      ...request,
      destination,
    });
    return { root: report.path ?? destination, report };
  }

  /** The build fails, leaves nothing, and says why. */
  async refused(text: string, options: Partial<MakeOptions> = {}, request: Partial<BuildRequest> = {}): Promise<ProvisionError> {
    const destination = request.destination ?? join(this.work, `platform${this.#number++}`);
    const before = existsSync(destination);
    const error = await this.build(text, options, { ...request, destination }).then(
      () => undefined,
      (failure: unknown) => failure,
    );
    expect(error).toBeInstanceOf(ProvisionError);
    expect(existsSync(destination)).toBe(before);
    expect(readdirSync(this.work).filter((name) => name.includes(".building-"))).toEqual([]);
    return error as ProvisionError;
  }
}

export const read = (platform: Platform, path: string) => readFileSync(join(platform.root, path), "utf8");
export const has = (platform: Platform, path: string) => existsSync(join(platform.root, path));
export const said = (error: ProvisionError) => [error.message, ...error.why].join("\n");
