import { expect, test } from "vitest";
import { Layout } from "../../../src/context/layout.js";
import { resolveSite } from "../../../src/context/references.js";
import { show } from "../../../src/context/show.js";
import { parseYaml, readText } from "../../../src/context/yaml-file.js";
import { BASE, hubOf, site } from "../../support/context-hub.js";

test("show prints every value of a site and where it comes from", async () => {
  const hub = await hubOf({
    ...BASE,
    "provision.yml": "# ours\nclient: admin\n",
    "aliases/server_master.yml": "context_type: server\nscript_user: aegir\nhttp_service_type: php\n",
    "aliases/platform_d7.yml": "context_type: platform\nroot: platforms/d7\nphp: 7.4\n",
    "aliases/example.com.yml": site("example.com/shop", "# here\naliases:\n  - www.example.com\ngeneration: 20261123T091500-7f3a\n"),
  });
  const { site: context, platform, webServer } = await resolveSite(hub.store, hub.settings, "@example.com");
  const settings = parseYaml(hub.layout.settings, (await readText(hub.layout.settings)) ?? "");
  const shown = show(context, { hub, file: await hub.store.file("@example.com"), settings, platform, webServer });
  await expect(`${JSON.stringify(shown, null, 2).replaceAll(hub.root, "/hub")}\n`).toMatchFileSnapshot(
    "../../golden/context/show-site.json.txt",
  );
  for (const key of [...Object.keys(shown.context).filter((key) => key !== "name"), ...Object.keys(shown.derived)])
    expect(shown.origin).toHaveProperty(key);
});

test("show of another machine has its paths, and the docroot that the core is in", async () => {
  const hub = await hubOf({ ...BASE, "aliases/example.com.yml": site("example.com", "generation: 20261123T091500-7f3a\n") });
  const around = { hub, file: undefined, place: new Layout("/srv/aegir"), docroot: "/srv/aegir/platforms/d7/web" };
  const { platform, webServer, site: context } = await resolveSite(hub.store, hub.settings, "@example.com");
  expect(show(platform, { ...around, webServer }).derived).toMatchObject({
    root_path: "/srv/aegir/platforms/d7",
    sites_path: "/srv/aegir/platforms/d7/web/sites",
    alias_file: hub.layout.contextFile("@platform_d7"),
  });
  expect(show(context, { ...around, platform, webServer }).derived).toMatchObject({
    site_path: "/srv/aegir/platforms/d7/web/sites/example.com",
    files_path: "/srv/aegir/sites/example.com/20261123T091500-7f3a/files",
    client_link: "/srv/aegir/clients/admin/example.com",
    backup_path: hub.layout.siteBackups("example.com"),
  });
});

test.each(["@server_master", "@platform_d7", "@client_admin"])("show %s", async (name) => {
  const hub = await hubOf({ ...BASE, "aliases/server_master.yml": "context_type: server\nscript_user: aegir\nhttp_service_type: php\n" });
  const context = await hub.store.need(name);
  const webServer = context.context_type === "platform" ? await hub.store.need(context.web_server, "server") : undefined;
  const shown = show(context, { hub, file: await hub.store.file(name), webServer });
  await expect(`${JSON.stringify(shown, null, 2).replaceAll(hub.root, "/hub")}\n`).toMatchFileSnapshot(
    `../../golden/context/show-${context.context_type}.json.txt`,
  );
});
