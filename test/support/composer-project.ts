import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Files, writeFiles } from "./make-fixtures.js";

type Json = Record<string, unknown>;

/** Puts packages of Drupal's types where composer/installers does; it is a plug-in of the same name, so that all happens without a network. */
const INSTALLERS: Files = {
  "composer.json": JSON.stringify({
    name: "composer/installers",
    version: "2.99.0",
    type: "composer-plugin",
    require: { "composer-plugin-api": "^2.0" },
    autoload: { "psr-4": { "Fake\\": "src/" } },
    extra: { class: "Fake\\Plugin" },
  }),
  "src/Plugin.php": `<?php
namespace Fake;
class Plugin implements \\Composer\\Plugin\\PluginInterface {
  public function activate(\\Composer\\Composer $composer, \\Composer\\IO\\IOInterface $io) {
    $composer->getInstallationManager()->addInstaller(new Installer($io, $composer));
  }
  public function deactivate(\\Composer\\Composer $composer, \\Composer\\IO\\IOInterface $io) {}
  public function uninstall(\\Composer\\Composer $composer, \\Composer\\IO\\IOInterface $io) {}
}
`,
  "src/Installer.php": `<?php
namespace Fake;
class Installer extends \\Composer\\Installer\\LibraryInstaller {
  const PLACES = ['drupal-core' => 'web', 'drupal-module' => 'web/sites/all/modules/'];
  public function supports(string $type) { return strpos($type, 'drupal-') === 0; }
  public function getInstallPath(\\Composer\\Package\\PackageInterface $package) {
    foreach ($this->composer->getPackage()->getExtra()['installer-paths'] ?? [] as $place => $rules) {
      if (array_intersect([$package->getName(), 'type:' . $package->getType()], $rules)) {
        return rtrim(str_replace('{$name}', basename($package->getName()), $place), '/');
      }
    }
    $place = self::PLACES[$package->getType()];
    return substr($place, -1) === '/' ? $place . basename($package->getName()) : $place;
  }
}
`,
};

/** A patches plug-in that does nothing at all, as the real one when it may not run. */
const PATCHES: Files = {
  "composer.json": JSON.stringify({
    name: "cweagans/composer-patches",
    version: "1.7.3",
    type: "composer-plugin",
    require: { "composer-plugin-api": "^2.0" },
    autoload: { "psr-4": { "Nothing\\": "src/" } },
    extra: { class: "Nothing\\Plugin" },
  }),
  "src/Plugin.php": `<?php
namespace Nothing;
class Plugin implements \\Composer\\Plugin\\PluginInterface {
  public function activate(\\Composer\\Composer $composer, \\Composer\\IO\\IOInterface $io) {}
  public function deactivate(\\Composer\\Composer $composer, \\Composer\\IO\\IOInterface $io) {}
  public function uninstall(\\Composer\\Composer $composer, \\Composer\\IO\\IOInterface $io) {}
}
`,
};

export interface FakeProject {
  /** Files of the package drupal/core, which lands in web/. */
  readonly core: Files;
  readonly require?: Json;
  readonly config?: Json;
  readonly extra?: Json;
  /** Make composer.lock. Default: yes. */
  readonly lock?: boolean;
}

function package_(name: string, type: string, files: Files, version = "1.0.0"): Files {
  const [, short = ""] = name.split("/");
  const inside = { "composer.json": JSON.stringify({ name, type, version }), ...files };
  return Object.fromEntries(Object.entries(inside).map(([file, text]) => [`packages/${short}/${file}`, text]));
}

/** Packages below `packages/`, and the plug-in that puts them in their places; each is its name, type, version and files. */
export function fakePackages(directory: string, packages: readonly (readonly [string, string, string, Files])[]): void {
  writeFiles(directory, {
    ...Object.fromEntries(Object.entries(INSTALLERS).map(([file, text]) => [`packages/installers/${file}`, text])),
    ...Object.assign({}, ...packages.map(([name, type, version, files]) => package_(name, type, files, version))),
  });
}

/** A Composer project of tiny packages, all of them in its own directory; no network is asked. */
export function composerProject(directory: string, { core, require = {}, config = {}, extra, lock = true }: FakeProject): string {
  writeFiles(directory, {
    "composer.json": JSON.stringify(
      {
        name: "fake/platform",
        repositories: [{ type: "path", url: "packages/*" }, { "packagist.org": false }],
        require: { "composer/installers": "*", "drupal/core": "*", "drupal/views": "*", ...require },
        config: { "allow-plugins": { "composer/installers": true, "cweagans/composer-patches": true }, ...config },
        ...(extra === undefined ? {} : { extra }),
      },
      null,
      2,
    ),
    ...Object.fromEntries(Object.entries(INSTALLERS).map(([file, text]) => [`packages/installers/${file}`, text])),
    ...Object.fromEntries(Object.entries(PATCHES).map(([file, text]) => [`packages/composer-patches/${file}`, text])),
    ...package_("drupal/core", "drupal-core", core),
    ...package_("drupal/views", "drupal-module", { "views.info": "name = Views\ncore = 7.x\n" }),
    ...package_("fake/tool", "library", { "bin/tool*": "#!/bin/sh\n" }),
  });
  if (lock) composer(directory, "update", "--no-install");
  return directory;
}

export function composer(directory: string, ...args: readonly string[]): string {
  const home = mkdtempSync(join(tmpdir(), "provision-composer-"));
  try {
    return execFileSync("composer", [...args, "--no-interaction", "--no-ansi"], {
      cwd: directory,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, COMPOSER_HOME: home, COMPOSER_ALLOW_SUPERUSER: "1", COMPOSER_DISABLE_NETWORK: "1" },
    });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
