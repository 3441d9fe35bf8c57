import { basename } from "node:path";
import { expect, test } from "vitest";
import { Layout } from "../../../src/context/layout.js";
import { Scope } from "../../../src/core/scope.js";
import { LocalHost } from "../../../src/host/local.js";
import { phpHttp } from "../../../src/services/http/php/index.js";
import type { Vhost } from "../../../src/services/http/service.js";

const layout = new Layout("/srv/hub");
const service = phpHttp({
  layout,
  server: { name: "@server_master", http_port: 8080, php: undefined },
  host: new LocalHost(new Scope()),
});

const site: Vhost = {
  uri: "example.com",
  aliases: ["www.example.com", "*.example.com"],
  redirection: "www.example.com",
  enabled: true,
  docroot: "/srv/hub/platforms/d7",
  directory: "example.com",
  generation: "20261123T091500-7f3a",
  files: "/srv/hub/sites/example.com/20261123T091500-7f3a/files",
  private: "/srv/hub/sites/example.com/20261123T091500-7f3a/private",
  frontControllers: ["index.php", "update.php", "cron.php"],
  php: "php",
  fpm: "/run/php/php-fpm.sock",
  alone: false,
  tls: undefined,
  basicAuth: undefined,
  allow: [],
  headers: {},
  environment: undefined,
  snippets: {},
};

const cases: Record<string, Vhost> = {
  "site-with-aliases": site,
  disabled: { ...site, aliases: [], redirection: undefined, enabled: false },
  "sub-directory": { ...site, uri: "example.com/foo", directory: "example.com.foo", aliases: ["foo.example.com"], redirection: undefined },
};

for (const [name, vhost] of Object.entries(cases)) {
  test(`files of PHP's web server: ${name}`, async () => {
    const text = service.siteFiles(vhost).map(({ path, content }) => `==> ${path}\n${content}`);
    await expect(text.join("\n")).toMatchFileSnapshot(`./expected/php-${name}.txt`);
  });
}

test("withdrawing names the same files, without content", () => {
  const published = service.siteFiles(site).map(({ path }) => path);
  const withdrawn = service.noSiteFiles(site.aliases, site.uri);
  expect(withdrawn.map(({ path }) => path).sort()).toEqual([...published].sort());
  expect(withdrawn.every(({ content }) => content === undefined)).toBe(true);
});

test("the names of files are names of no other site, and never too long", () => {
  const names = ["example.com", "*.example.com", "example.com/foo", `${"a.".repeat(120)}example.com`, `*.${"a.".repeat(120)}example.com`];
  const files = service.noSiteFiles(names).map(({ path }) => basename(path));
  expect(new Set(files).size).toBe(names.length);
  for (const file of files) expect(file.length).toBeLessThan(230);
  expect(files.slice(0, 3)).toEqual(["example.com.json", "_.example.com.json", "example.com.foo.json"]);
});
