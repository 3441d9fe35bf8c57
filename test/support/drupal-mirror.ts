import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { archive, releaseHistory } from "./make-fixtures.js";

export interface DrupalMirror {
  /** What `mirrors:` of provision.yml needs to take drupal.org from here. */
  readonly mirrors: Readonly<Record<string, string>>;
  remove(): void;
}

const FILES = "https://ftp.drupal.org/files/projects";

/**
 * A directory that stands for drupal.org: release history and tarballs of one core, made of the tree at `core`
 * whatever version that really is, and of a tiny module called views.
 */
export function drupalMirror(core: string, version = "7.103"): DrupalMirror {
  const root = mkdtempSync(join(tmpdir(), "provision-mirror-"));
  const projects = join(root, "projects");
  const history = join(root, "release-history");
  for (const path of [projects, join(history, "drupal"), join(history, "views"), join(root, "tree")]) mkdirSync(path, { recursive: true });
  const top = `drupal-${version}`;
  cpSync(core, join(root, "tree", top), { recursive: true, verbatimSymlinks: true });
  execFileSync("tar", ["-czf", join(projects, `${top}.tar.gz`), "-C", join(root, "tree"), top]);
  rmSync(join(root, "tree"), { recursive: true, force: true });
  writeFileSync(
    join(projects, "views-7.x-3.29.tar.gz"),
    archive("tar.gz", "views", { "views.info": "name = Views\ncore = 7.x\nversion = 7.x-3.29\n", "views.module": "<?php\n" }),
  );
  const release = (project: string, of: string) => ({ version: of, url: `${FILES}/${project}-${of}.tar.gz` });
  writeFileSync(join(history, "drupal", "7.x"), releaseHistory("core", [release("drupal", version)]));
  writeFileSync(join(history, "views", "7.x"), releaseHistory("module", [release("views", "7.x-3.29")]));
  return {
    mirrors: { "https://updates.drupal.org/release-history/": `${history}/`, [`${FILES}/`]: `${projects}/` },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
