import { describe, expect, test } from "vitest";
import { Layout } from "../../../src/context/layout.js";
import { apache } from "../../../src/services/http/apache/index.js";
import { placeOf } from "../../../src/services/http/daemon/place.js";
import { nginx } from "../../../src/services/http/nginx/index.js";
import type { ConfigFile, Vhost } from "../../../src/services/http/service.js";
import { settingsOf } from "../../../src/services/php-limits.js";

const layout = new Layout("/srv/hub");
const server = { name: "@server_master", http_port: 80, http_ssl_port: 443 };

const site: Vhost = {
  uri: "example.com",
  aliases: [],
  redirection: undefined,
  enabled: true,
  docroot: "/srv/hub/platforms/d7",
  directory: "example.com",
  generation: "20261123T091500-7f3a",
  files: "/srv/hub/sites/example.com/20261123T091500-7f3a/files",
  private: "/srv/hub/sites/example.com/20261123T091500-7f3a/private",
  frontControllers: ["index.php", "update.php", "cron.php"],
  php: "php",
  fpm: "/run/php/php8.2-fpm.sock",
  alone: false,
  tls: undefined,
  basicAuth: undefined,
  allow: [],
  headers: {},
  environment: undefined,
  snippets: {},
};

const below = { ...site, uri: "example.com/foo", directory: "example.com.foo" };
const tls = { required: true, certificate: "/etc/ssl/a b/fullchain.pem", key: "/etc/ssl/a b/privkey.pem", hsts: 31_536_000 };

const cases: Record<string, Vhost> = {
  plain: site,
  disabled: { ...site, enabled: false, aliases: ["www.example.com"] },
  aliases: { ...site, aliases: ["www.example.com", "*.example.com", "*.deep.example.com"], redirection: "www.example.com" },
  tls: { ...site, tls, aliases: ["www.example.com"], redirection: "example.com" },
  closed: {
    ...site,
    basicAuth: { message: "Preview (ask us)", file: "/srv/hub/passwords/example.com", whitelist: ["192.0.2.0/24", "::1"] },
    headers: { "X-Robots-Tag": 'noindex, "100%"' },
    snippets: { nginx: "location = /ping {\n  return 204;\n}\n", apache: "RewriteRule ^/ping$ - [R=204,L]\n" },
  },
  allowed: { ...site, allow: ["192.0.2.7", "2001:db8::/32"], fpm: "127.0.0.1:9000", environment: "/srv/hub/environment/example.com" },
  limited: {
    ...site,
    limits: {
      settings: settingsOf({ php_memory_limit: "256M", php_max_execution_time: 300, php_post_max_size: "100M" }),
      largestBody: 104_857_600,
      patience: 360,
    },
  },
  "sub-directory": { ...below, aliases: ["foo.example.com"] },
  "sub-directory-alone": { ...below, alone: true, redirection: "foo.example.com", aliases: ["foo.example.com"] },
  "sub-directory-disabled": { ...below, enabled: false },
};

const text = (files: readonly ConfigFile[]) => files.map(({ path, content }) => `==> ${path}\n${content ?? "(absent)\n"}`).join("\n");

describe.each([nginx, apache])("files of $label", (daemon) => {
  const place = placeOf(layout, daemon.type, server);

  test.each(Object.entries(cases))("%s", async (name, vhost) => {
    await expect(text(daemon.siteFiles(place, vhost))).toMatchFileSnapshot(`./expected/${daemon.type}-${name}.txt`);
  });

  test("what all sites share, by version", async () => {
    const facts = { program: "", ipv6: true };
    await expect(text(daemon.serverFiles(place, { ...facts, version: [1, 22, 1] }))).toMatchFileSnapshot(
      `./expected/${daemon.type}-server.txt`,
    );
    const newer = daemon.serverFiles(place, { ...facts, ipv6: false, version: [1, 25, 1] });
    expect(text(newer).includes("http2 on;")).toBe(daemon === nginx);
    expect(text(newer)).not.toContain("[::]");
    const older = text(daemon.serverFiles(place, { ...facts, version: [1, 18, 0] }));
    expect(older).not.toContain("ssl_reject_handshake");
    const without = daemon.serverFiles(placeOf(layout, daemon.type, { ...server, http_ssl_port: undefined }), {
      ...facts,
      version: [1, 22, 1],
    });
    expect(text(without)).not.toMatch(/listen .*443|:443/);
  });

  test("withdrawing names the files that publishing writes", () => {
    for (const vhost of Object.values(cases)) {
      const written = daemon.siteFiles(place, vhost).filter(({ content, path }) => content !== undefined && !path.includes("/~example"));
      const withdrawn = daemon.noSiteFiles(place, vhost.aliases, vhost.uri).map(({ path }) => path);
      for (const { path } of written) expect(withdrawn).toContain(path);
    }
  });

  test("aliases that are given up name no file of another site", () => {
    expect(daemon.noSiteFiles(place, ["www.example.com"], undefined)).toEqual([]);
  });

  test.each([
    ["a quotation mark", { files: '/srv/"; } server { #' }],
    ["a newline", { docroot: "/srv/a\nb" }],
    ["a dollar", { headers: { "X-A": ["$", "{HOME} $host"].join("") } }],
    ["a closing brace", { headers: { "X-A": "a; } return 200;" } }],
    ["a backslash", { headers: { "X-A": 'a\\" always; } #' } }],
  ])("%s never ends the word that it stands in", (_what, hostile) => {
    let made: string;
    try {
      made = text(daemon.siteFiles(place, { ...site, ...hostile }));
    } catch (error) {
      expect(error).toMatchObject({ code: "INVALID_VALUE" });
      return;
    }
    // What is outside of quoted words has nothing of it.
    const bare = made.replace(/"(?:[^"\\]|\\.)*"/g, "WORD");
    expect(bare).not.toMatch(/HOME|return 200|always; } #|server \{ #/);
  });
});
