import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Marks the content of files that no visitor may ever read. */
export const SECRET = "TOP-SECRET";

/** What index.php of the tiny docroot answers. */
export interface Facts {
  readonly controller: string;
  readonly server: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly get: Readonly<Record<string, string>>;
  readonly post: string;
  readonly env: readonly string[];
  readonly pid: number;
  readonly release: string;
}

const CONTROLLER = `<?php
if (isset($_GET['sleep'])) { usleep(1000 * (int) $_GET['sleep']); }
if (isset($_GET['die'])) { posix_kill(getmypid(), 9); }
header('Content-Type: application/json');
header('Set-Cookie: a=1'); header('Set-Cookie: b=2', false);
echo json_encode(['controller' => basename(__FILE__), 'server' => array_filter($_SERVER, 'is_string'), 'cwd' => getcwd(), 'get' => (object) $_GET,
  'post' => file_get_contents('php://input'), 'env' => array_values(array_filter(array_keys(getenv()), function ($n) { return strpos($n, 'PROVISION_') === 0; })),
  'pid' => getmypid(), 'release' => is_file('release.txt') ? trim(file_get_contents('release.txt')) : '']);
`;

/** Files that stand in the docroot and are refused; relative paths. */
export const FORBIDDEN = [
  ".git/config",
  ".htaccess",
  ".env",
  "CHANGELOG.txt",
  "INSTALL.mysql.txt",
  "install.php",
  "core/install.php",
  "composer.json",
  "web.config",
  "vendor/autoload.php",
  "vendor/composer/installed.json",
  "includes/bootstrap.inc",
  "modules/system/system.info",
  "modules/system/system.module",
  "modules/system/system.install",
  "modules/system/system.test",
  "modules/system/page.tpl.php",
  "modules/system/x.info.yml",
  "modules/evil.php",
  "modules/evil.phtml",
  "modules/evil.php5",
  "scripts/run.sh",
  "dump.sql",
  "dump.sql.gz",
  "backup.php.bak",
  "index.php~",
  "sites/sites.php",
  "sites/example.sites.php",
  "sites/default/default.settings.php",
  "sites/one.test/settings.php",
  "sites/one.test/local.settings.php",
  "sites/one.test/settings.local.yml",
  "sites/one.test/drushrc.php",
  "sites/one.test/private/key.txt",
  "sites/two.test/settings.php",
] as const;

/** A docroot with three front controllers, static files and all of FORBIDDEN. */
export function makeDocroot(path: string): void {
  write(join(path, "index.php"), CONTROLLER);
  write(join(path, "update.php"), CONTROLLER);
  write(join(path, "core/cron.php"), CONTROLLER);
  for (const forbidden of FORBIDDEN) write(join(path, forbidden), `<?php echo "${SECRET}";\n`);
  write(join(path, "misc/style.css"), "body { color: black }\n");
  write(join(path, "misc/digits.txt"), "0123456789");
  write(join(path, "misc/logo.png"), "png");
  write(join(path, "robots.txt"), "User-agent: docroot\n");
  write(join(path, "sites/all/modules/m/m.js"), "m()\n");
}

/** The directories of one generation: what is served of it and what is not. */
export function makeGeneration(path: string): { readonly files: string; readonly private: string } {
  const files = join(path, "files");
  write(join(files, "hello.txt"), "hello of the generation\n");
  write(join(files, "styles/thumb/a.jpg"), "jpg");
  write(join(files, "evil.php"), `<?php echo "${SECRET}";`);
  write(join(files, ".htaccess"), SECRET);
  write(join(files, "private/key.txt"), SECRET);
  write(join(files, "config_abc/active.txt"), SECRET);
  write(join(files, "php/twig/x.txt"), SECRET);
  write(join(path, "private", "key.txt"), SECRET);
  write(join(path, "outside.txt"), SECRET);
  symlinkSync("../outside.txt", join(files, "link.txt"));
  symlinkSync("../private", join(files, "linked"));
  symlinkSync("evil.php", join(files, "evil-link.txt"));
  symlinkSync("hello.txt", join(files, "inner-link.txt"));
  return { files, private: join(path, "private") };
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
