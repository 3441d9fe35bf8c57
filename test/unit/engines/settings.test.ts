import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { accountVariables, type DatabaseAccess } from "../../../src/context/database-access.js";
import { Layout } from "../../../src/context/layout.js";
import { ProvisionError } from "../../../src/core/errors.js";
import { Secret } from "../../../src/core/secret.js";
import { settings as settingsBackdrop } from "../../../src/engines/backdrop/settings.js";
import { accountFile } from "../../../src/engines/cloaked-account.js";
import { settings as settings8 } from "../../../src/engines/drupal/settings.js";
import { settings } from "../../../src/engines/drupal7/settings.js";
import type { SettingsInput } from "../../../src/engines/engine.js";

const GENERATION = "20261123T091500-7f3a";

function input(database: DatabaseAccess, more: Partial<SettingsInput> = {}): SettingsInput {
  const uri = more.uri ?? "example.com";
  return {
    uri,
    aliases: ["www.example.com"],
    generation: GENERATION,
    paths: new Layout("/var/aegir").generation(uri, GENERATION),
    database,
    hashSalt: new Secret("a-salt"),
    ...more,
  };
}

const SQLITE: DatabaseAccess = { driver: "sqlite", database: `/var/aegir/sites/example.com/${GENERATION}/db/site.sqlite` };

function server(driver: "mysql" | "pgsql"): DatabaseAccess {
  return {
    driver,
    host: "127.0.0.1",
    port: driver === "mysql" ? 3306 : 5432,
    database: "example_com_7f3a",
    username: "example_com_7f3a",
    password: new Secret("it's \\ a $secret <?php ?>\n"),
  };
}

describe("settings.php of Drupal 7", () => {
  it.each([
    ["sqlite", input(SQLITE)],
    ["mysql", input(server("mysql"))],
    ["pgsql", input(server("pgsql"))],
    ["mysql-socket", input({ ...server("mysql"), host: "localhost", socket: "/run/mysqld/it's a socket" } as DatabaseAccess)],
    ["mysql-tls", input({ ...server("mysql"), tls: { verify: true, ca: "/etc/ssl/it's ca.pem" } } as DatabaseAccess)],
    ["pgsql-tls", input({ ...server("pgsql"), tls: { verify: true, ca: "/etc/ssl/it's ca.pem" } } as DatabaseAccess)],
    ["mysql-cloaked", input(server("mysql"), { accountFile: "/var/aegir/sites/example.com/it's/account.settings.php" })],
    ["subdirectory", input(SQLITE, { uri: "example.com/foo" })],
  ] as const)("for %s is as reviewed", async (name, of) => {
    await expect(settings(of)).toMatchFileSnapshot(`../../golden/engines/drupal7-settings-${name}.php`);
  });

  it("is the same bytes for the same input", () => {
    expect(settings(input(SQLITE))).toBe(settings(input(SQLITE)));
  });

  it("holds no account when sites share a pool: PHP has it from its request or from the file for the command line, and nothing is left of it", () => {
    const directory = mkdtempSync(join(tmpdir(), "provision-account-"));
    const file = join(directory, "it's account.settings.php");
    try {
      const database = server("pgsql");
      const whole = settings(input(database, { accountFile: file }));
      const text = whole.slice(0, whole.indexOf("// Never empty"));
      expect(whole).not.toContain("a $secret");
      expect(text).not.toContain("example_com_7f3a");
      const told = accountVariables(database) ?? {};
      const show =
        "echo json_encode([isset($databases) ? $databases['default']['default'] : null, array_key_exists('db_passwd', $_SERVER), getenv('db_passwd')]);";
      const run = (env: Record<string, string>, times = 1) =>
        JSON.parse(
          execFileSync("php", {
            input: `<?php define('DRUPAL_ROOT', '/nowhere');${text.replace("<?php", "").repeat(times)}\n${show}`,
            encoding: "utf8",
            env: { ...process.env, ...env },
          }),
        );
      const right = { database: "example_com_7f3a", username: "example_com_7f3a", password: "it's \\ a $secret <?php ?>\n" };
      expect(run({})).toEqual([null, false, false]);
      const env = Object.fromEntries(Object.entries<Secret>(told).map(([name, value]) => [name, value.reveal()]));
      // Drupal 8 and later read it more than once in a process.
      for (const times of [1, 2]) expect(run(env, times)).toEqual([expect.objectContaining(right), false, false]);
      writeFileSync(file, accountFile(database)?.reveal() ?? "");
      for (const times of [1, 2]) expect(run({}, times)).toEqual([expect.objectContaining(right), false, false]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("gives PHP the password as it is, and prints nothing", () => {
    const database = server("mysql");
    const script = `${settings(input(database))}\necho json_encode($databases['default']['default']), "\\n", umask();`;
    const [json, umask] = execFileSync("php", {
      input: script.replace("<?php", "<?php define('DRUPAL_ROOT', '/nowhere');"),
      encoding: "utf8",
      env: { ...process.env, PROVISION_OPERATION: "1" },
    }).split("\n");
    expect(JSON.parse(json ?? "")).toMatchObject({ password: "it's \\ a $secret <?php ?>\n", port: "3306", charset: "utf8mb4" });
    expect(umask).toBe("2");
  });

  it.each(["a.test*/ system('id'); /*", "../etc", "a.test\n", ""])("refuses the uri %j, which would stand in a comment", (uri) => {
    expect(() => settings(input(SQLITE, { uri }))).toThrow(ProvisionError);
  });
});

it.each([
  ["Drupal 7", settings, "$conf"],
  ["Drupal 8 and later", settings8, "$settings"],
  ["Backdrop", settingsBackdrop, "$settings"],
] as const)("%s believes the proxies that are named, and none else", (_label, text, variable) => {
  const of = input(server("mysql"));
  const proxied = text({ ...of, reverseProxies: ["192.0.2.1", "2001:db8::/32"] });
  expect(proxied).toContain(
    `${variable}['reverse_proxy'] = TRUE;\n${variable}['reverse_proxy_addresses'] = array(\n  '192.0.2.1',\n  '2001:db8::/32',\n);\n`,
  );
  expect(text({ ...of, reverseProxies: [] })).not.toContain("reverse_proxy");
});

describe("settings.php of Drupal 8 and later", () => {
  it.each([
    ["sqlite", input(SQLITE, { aliases: ["www.example.com", "*.shop.example.com"] })],
    ["mysql", input(server("mysql"))],
    ["pgsql-tls", input({ ...server("pgsql"), tls: { verify: true, ca: "/etc/ssl/it's ca.pem" } } as DatabaseAccess)],
    ["subdirectory", input(SQLITE, { uri: "example.com/foo", quarantine: true })],
  ] as const)("for %s is as reviewed", async (name, of) => {
    await expect(settings8(of)).toMatchFileSnapshot(`../../golden/engines/drupal-settings-${name}.php`);
  });

  /** What core's Settings::initialize() has of it, read as often as core may read it. */
  const read = (of: SettingsInput) => {
    const script = `${settings8(of).replace("<?php", "")}`;
    const program = `<?php
      define('TEXT', ${JSON.stringify(Buffer.from(script).toString("base64"))});
      function read($app_root, $site_path) { global $config; $config = $settings = $databases = []; eval(base64_decode(TEXT)); return [$databases, $settings, $config]; }
      read('/nowhere', 'sites/x'); echo json_encode(read('/nowhere', 'sites/x')), "\n", umask();`;
    const [json, umask] = execFileSync("php", {
      input: program,
      encoding: "utf8",
      env: { ...process.env, PROVISION_OPERATION: "1" },
    }).split("\n");
    const [databases, values, config] = JSON.parse(json ?? "") as [
      { default: { default: Record<string, unknown> } },
      Record<string, unknown>,
      unknown,
    ];
    return { database: databases.default.default, settings: values, config, umask };
  };

  it("gives PHP the password as it is also when it is read twice, and prints nothing", () => {
    const { database, umask } = read(input(server("mysql")));
    expect(database).toMatchObject({ password: "it's \\ a $secret <?php ?>\n", port: "3306", charset: "utf8mb4" });
    expect(database["init_commands"]).toEqual({ isolation_level: "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED" });
    expect(umask).toBe("2");
  });

  it.each([
    ["example.com", true],
    ["EXAMPLE.com", true],
    ["www.example.com", true],
    ["a.shop.example.com", true],
    ["a.b.shop.example.com", true],
    ["shop.example.com", false],
    ["examplexcom", false],
    ["evil-example.com", false],
    ["example.com.evil.test", false],
  ])("trusts the host %s: %s", (host, trusted) => {
    const values = read(input(SQLITE, { aliases: ["www.example.com", "*.shop.example.com"] })).settings;
    const patterns = values["trusted_host_patterns"] as string[];
    // Core puts braces around them, and looks at no case.
    expect(patterns.some((pattern) => new RegExp(pattern, "i").test(host))).toBe(trusted);
  });

  it("quarantine stops mail and cron", () => {
    expect(read(input(SQLITE)).config).toEqual([]);
    expect(read(input(SQLITE, { quarantine: true })).config).toMatchObject({
      "system.mail": { interface: { default: "test_mail_collector" } },
      "automated_cron.settings": { interval: 0 },
    });
  });
});

describe("settings.php of Backdrop", () => {
  it.each([
    ["mysql", input(server("mysql"))],
    ["subdirectory", input(server("mysql"), { uri: "example.com/foo", quarantine: true })],
  ] as const)("for %s is as reviewed", async (name, of) => {
    await expect(settingsBackdrop(of)).toMatchFileSnapshot(`../../golden/engines/backdrop-settings-${name}.php`);
  });

  const read = (of: SettingsInput) => {
    const values = "$databases['default']['default'], $settings, $config, $config_directories";
    const [json] = execFileSync("php", {
      input: `${settingsBackdrop(of).replace("<?php", "<?php define('BACKDROP_ROOT', '/nowhere');")}\necho json_encode([${values}]);`,
      encoding: "utf8",
      env: { ...process.env, PROVISION_OPERATION: "1" },
    }).split("\n");
    const [database, settings, config, directories] = JSON.parse(json ?? "") as [unknown, Record<string, unknown>, unknown, unknown];
    return { database, settings, config, directories };
  };

  it("gives PHP the password as it is, and configuration directories that are no part of the site's directory", () => {
    const { database, directories, settings } = read(input(server("mysql")));
    expect(database).toMatchObject({ password: "it's \\ a $secret <?php ?>\n", port: "3306", charset: "utf8mb4" });
    const root = `/var/aegir/sites/example.com/${GENERATION}/config`;
    expect(directories).toEqual({ active: `${root}/active`, staging: `${root}/staging` });
    expect(settings["hash_salt"]).toBe("a-salt");
  });

  it.each([
    ["example.com", true],
    ["EXAMPLE.com:8080", true],
    ["a.b.shop.example.com:80", true],
    ["shop.example.com", false],
    ["evil-example.com", false],
    ["example.com.evil.test", false],
    ["example.com:80.evil.test", false],
  ])("trusts the host %s: %s", (host, trusted) => {
    const values = read(input(server("mysql"), { aliases: ["*.shop.example.com"] })).settings;
    expect((values["trusted_host_patterns"] as string[]).some((pattern) => new RegExp(pattern, "i").test(host))).toBe(trusted);
  });

  it("quarantine stops mail and cron", () => {
    expect(read(input(server("mysql"), { quarantine: true })).config).toMatchObject({
      "system.mail": { "default-system": "ProvisionDiscardedMail" },
      "system.core": { cron_safe_threshold: 0 },
    });
  });
});
