import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { MakeOptions } from "../../src/builds/make/index.js";
import { type Files, repository } from "../support/make-fixtures.js";
import { has, MakeRig, type Platform, read, said } from "../support/make-rig.js";

/**
 * The rows of drush's own tests (tests/makeTest.php, drush 8) with small stand-ins for what they download: their make files
 * said again, and the files that must be there (or, after `!`, must not).
 */
const rig = new MakeRig();
beforeAll(() => rig.start());
afterAll(() => rig.stop());
beforeEach(() => rig.reset());

const d6 = "core = 6.x\napi = 2\n";
const d7 = "core = 7.x\napi = 2\n";
const file = (name: string, files: Files, kind?: "tar.gz" | "tar.bz2" | "zip") => rig.tarball(name, files, kind);
const repo = (name: string, ...commits: Parameters<typeof repository>[1][number][]) => {
  const path = join(rig.work, `git/${name}.git`);
  return { url: `file://${path}`, commits: repository(path, commits) };
};
const library = (name: string, url: string, more = "") =>
  `libraries[${name}][download][type] = get\nlibraries[${name}][download][url] = "${url}"\n${more}`;

interface Row {
  readonly name: string;
  readonly make: () => string;
  readonly options?: Partial<MakeOptions>;
  readonly tree?: readonly string[];
  readonly check?: (built: Platform) => void;
  readonly fails?: RegExp;
}

const sixth = () => {
  rig.project("boxes", "6.x", ["6.x-1.0"]);
  rig.project("admin", "6.x", ["6.x-2.0"]);
  rig.project("devel", "6.x", ["6.x-1.27"]);
  rig.project("zen", "6.x", ["6.x-2.1"], "theme");
  rig.project("token", "6.x", ["6.x-1.18"]);
};
const contribDestination = () => {
  sixth();
  return `${d6}projects[boxes][subdir] = contrib\nprojects[boxes][version] = "1.0"\nprojects[admin][subdir] = contrib\nprojects[admin][version] = "2.0"\nprojects[zen][subdir] = contrib\nprojects[zen][version] = "2.1"\nprojects[zen][type] = theme\n`;
};
const contribTree = ["modules/contrib/boxes/v.txt", "modules/contrib/admin/v.txt", "themes/contrib/zen/v.txt", "!sites"];
const limited = () => {
  rig.project("boxes", "7.x", ["7.x-1.0-beta7"]);
  rig.project("admin_menu", "7.x", ["7.x-3.0-rc1"]);
  return `${d7}projects[boxes][version] = "1.0-beta7"\nprojects[admin_menu][version] = "3.0-rc1"\n${library("drush_make", file("drush_make", { a: "1" }))}${library("token", file("token", { a: "1" }))}`;
};
const hunk = (from: string, to: string, name = "v.txt") => `--- a/${name}\n+++ b/${name}\n@@ -1 +1 @@\n-${from}\n+${to}\n`;
const patches = () => {
  rig.project("wysiwyg", "7.x", ["7.x-2.1"]);
  rig.project("features", "7.x", ["7.x-1.0-beta4"]);
  rig.write({ "patches/local.patch": hunk("one", "two") });
  const remote = rig.server.serve("/624018-211.patch", hunk("wysiwyg 7.x-2.1", "one"));
  const other = rig.server.serve("/invoke-25.patch", hunk("features 7.x-1.0-beta4", "patched"));
  return `${d7}projects[wysiwyg][version] = "2.1"\nprojects[wysiwyg][patch][] = "${remote}"\nprojects[wysiwyg][patch][] = "patches/local.patch"\nprojects[features][version] = "1.0-beta4"\nprojects[features][patch][] = "${other}"\n`;
};
const checksummed = (md5: string) => () =>
  `${d6}${library("drush_make", rig.server.serve("/README.txt?h=6.x-3.x", "readme"), `libraries[drush_make][download][filename] = README.txt\nlibraries[drush_make][download][md5] = "${md5}"\n`)}`;
const gitSimple = () => {
  const info: Files = { "m.info": "name = M\n" };
  const signup = repo("cck_signup", { files: info });
  const admin = repo("context_admin", { files: info });
  const filter = repo("caption_filter", { files: { "caption_filter.info": "name = C\n" }, tag: "7.x-1.2", branch: "7.x-1.x" });
  const short = ({ commits }: { commits: string[] }) => commits[0]?.slice(0, 7) ?? "";
  return {
    text: `${d6}projects[cck_signup][download][url] = ${signup.url}\nprojects[cck_signup][download][revision] = "${short(signup)}"\nprojects[context_admin][download][url] = ${admin.url}\nprojects[context_admin][download][revision] = "${short(admin)}"\nprojects[caption_filter][subdir] = contrib\nprojects[caption_filter][download][type] = git\nprojects[caption_filter][download][url] = ${filter.url}\nprojects[caption_filter][download][branch] = 7.x-1.x\nprojects[caption_filter][download][revision] = "${short(filter)}"\n`,
    revision: short(signup),
    head: admin.commits[0] ?? "",
  };
};
const recursion = () => {
  rig.project("drupal_forum", "7.x", ["7.x-1.0-alpha2"], "distribution", {
    "drupal_forum.profile": "<?php",
    "drupal_forum.make": `${d7}projects[ctools] = 1.0\nprojects[views] = 3.0-rc1\n`,
  });
  rig.project("views", "7.x", ["7.x-3.0-rc3", "7.x-3.0-rc1"]);
  rig.project("ctools", "7.x", ["7.x-1.0"]);
  return `${d7}projects[drupal_forum][type] = profile\nprojects[drupal_forum][version] = "1.0-alpha2"\nprojects[views] = "3.0-rc3"\n`;
};
const translations = (core: string, names: readonly string[]) => {
  rig.server.serve("/l10n.xml", `<l10n_server><update_url>${rig.server.url}/po/%project-%release.%language.po</update_url></l10n_server>`);
  for (const name of names) for (const language of ["es", "pt-br"]) rig.server.serve(`/po/${name}.${language}.po`, language);
  return `core = ${core}\napi = 2\ndefaults[projects][l10n_url] = ${rig.server.url}/l10n.xml\n`;
};
const inside = (core: string, version: string, token: string) => () => {
  rig.project("drupal", core, [version], "core", { "profiles/default/a": "", "profiles/standard/a": "", "modules/system/a": "" });
  rig.project("token", core, [`${core}-${token}`]);
  const head = translations(core, [`drupal-${version}`, `token-${core}-${token}`]);
  return `${head}translations[] = es\ntranslations[] = pt-br\nprojects[drupal][version] = "${version}"\nprojects[token][version] = "${token}"\n`;
};
const insideTree = [
  "profiles/default/translations",
  "profiles/standard/translations",
  "modules/system/translations",
  "sites/all/modules/token/translations",
].flatMap((place) => [`${place}/es.po`, `${place}/pt-br.po`]);
const included = (yaml: boolean) => () => {
  rig.project("drupal", "6.x", ["6.17"], "core");
  rig.project("cck", "6.x", ["6.x-2.6", "6.x-2.5"]);
  rig.project("eldorado_superfly", "6.x", ["6.x-1.1", "6.x-1.0"], "theme");
  rig.project("token", "6.x", ["6.x-1.18"]);
  rig.write({
    "included.make": `${d6}projects[cck][version] = 2.6\nprojects[token][version] = 1.18\nprojects[eldorado_superfly][version] = 1.0\nincludes[] = included2.make\n`,
    "included2.make": "projects[cck][version] = 2.5\n",
  });
  return yaml
    ? "core: 6.x\napi: 2\nprojects:\n  drupal: '6.17'\n  eldorado_superfly: {version: '1.1'}\n  token: false\nincludes:\n  - included.make\n"
    : `${d6}projects[drupal] = 6.17\nprojects[eldorado_superfly][version] = 1.1\nprojects[token] = FALSE\nincludes[] = included.make\n`;
};
const nc = { noCore: true } as const;

const ROWS: readonly Row[] = [
  {
    name: "bz2",
    options: nc,
    make: () => `${d6}${library("bison", file("bison-1.30", { configure: "1", "src/a.c": "" }, "tar.bz2"))}`,
    tree: ["sites/all/libraries/bison/configure", "sites/all/libraries/bison/src/a.c"],
  },
  {
    name: "bz2-singlefile: an archive of one file",
    options: nc,
    make: () => `${d6}${library("wkhtmltopdf", rig.tarball("", { "wkhtmltopdf-amd64*": "elf" }, "tar.bz2"))}`,
    tree: ["sites/all/libraries/wkhtmltopdf/wkhtmltopdf-amd64"],
  },
  { name: "contrib-destination", options: { ...nc, contribDestination: "." }, make: contribDestination, tree: contribTree },
  {
    name: "contrib-destination (YAML)",
    options: { ...nc, contribDestination: "." },
    make: () => {
      sixth();
      return "core: '6.x'\napi: 2\nprojects:\n  boxes: {subdir: contrib, version: '1.0'}\n  admin: {subdir: contrib, version: '2.0'}\n  zen: {subdir: contrib, version: '2.1', type: theme}\n";
    },
    tree: contribTree,
  },
  {
    name: "defaults",
    options: { ...nc, contribDestination: "." },
    make: () => {
      sixth();
      return `${d6}defaults[projects][subdir] = contrib\nprojects[boxes][version] = "1.0"\nprojects[admin][version] = "2.0"\nprojects[devel][version] = "1.27"\nprojects[devel][subdir] = development\n`;
    },
    tree: ["modules/contrib/boxes/v.txt", "modules/contrib/admin/v.txt", "modules/development/devel/v.txt"],
  },
  {
    name: "file: a name of its own",
    options: nc,
    make: () =>
      `${d6}${library("drush_make", rig.server.serve("/README?h=6.x-3.x&id=8d4e", "r"), "libraries[drush_make][download][filename] = README.txt\n")}${library("responsiveslides", rig.server.serve("/v1.54/r.min.js", "j"), "libraries[responsiveslides][download][filename] = responsiveslides.js\n")}`,
    tree: [
      "sites/all/libraries/drush_make/README.txt",
      "sites/all/libraries/responsiveslides/responsiveslides.js",
      "!sites/all/libraries/responsiveslides/r.min.js",
    ],
  },
  {
    name: "file-extract: zip, tgz, a query, a zipball without a suffix, a single file",
    options: nc,
    make: () =>
      `${d6}projects[admin_menu][download][type] = file\nprojects[admin_menu][download][url] = "${file("admin_menu", { m: "1" }, "zip")}"\nprojects[devel][download][type] = file\nprojects[devel][download][url] = "${rig.server.serve("/devel.tar.gz?param=value", tarOf())}"\n${library("vegas", rig.server.serve("/zipball/v1.2", zipOf()))}${library("autopager", rig.server.serve("/jquery.autopager-1.0.0.js", "js"))}`,
    tree: [
      "sites/all/modules/admin_menu/m",
      "sites/all/modules/devel/d",
      "sites/all/libraries/vegas/z",
      "sites/all/libraries/autopager/jquery.autopager-1.0.0.js",
    ],
  },
  {
    name: "get: a lock leaves a file for pm-updatecode",
    options: nc,
    make: () =>
      `${d6}${library("drush_make", file("drush_make", { a: "1" }), "libraries[drush_make][directory_name] = drush_make\nlibraries[drush_make][destination] = libraries\nlibraries[drush_make][lock] = Locked\n")}`,
    tree: ["sites/all/libraries/drush_make/a"],
    check: (built) => expect(read(built, "sites/all/libraries/drush_make/.drush-lock-update")).toBe("Locked"),
  },
  {
    name: "git: tag, branch, revision, refspec",
    options: { ...nc, noGitInfoFile: true },
    make: () => {
      const { url, commits } = repo(
        "m",
        { files: { one: "" }, tag: "6.x-3.2" },
        { files: { two: "" } },
        { files: { three: "" }, branch: "5.x-1.x" },
      );
      return `${d6}projects[tao][type] = theme\nprojects[tao][download][type] = git\nprojects[tao][download][url] = ${url}\nprojects[tao][download][tag] = 6.x-3.2\nprojects[drupalbin][type] = profile\nprojects[drupalbin][download][url] = ${url}\nprojects[drupalbin][download][branch] = 5.x-1.x\nprojects[visitor][download][url] = ${url}\nprojects[visitor][download][revision] = ${commits[1]}\nprojects[storypal][download][url] = ${url}\nprojects[storypal][download][refspec] = refs/tags/6.x-3.2\n`;
    },
    tree: [
      "sites/all/themes/tao/one",
      "!sites/all/themes/tao/two",
      "profiles/drupalbin/three",
      "sites/all/modules/visitor/two",
      "!sites/all/modules/visitor/three",
      "sites/all/modules/storypal/one",
      "!sites/all/modules/storypal/two",
      "!profiles/drupalbin/.git",
    ],
  },
  {
    name: "git-simple: git is the type of a project without one",
    options: { ...nc, noGitInfoFile: true },
    make: () => gitSimple().text,
    tree: [
      "sites/all/modules/cck_signup/m.info",
      "sites/all/modules/context_admin/m.info",
      "sites/all/modules/contrib/caption_filter/caption_filter.info",
    ],
    check: (built) => expect(read(built, "sites/all/modules/cck_signup/m.info")).toBe("name = M\n"),
  },
  {
    name: "testInfoFileWritingGit",
    options: { ...nc, forceGitInfoFile: true },
    make: () => gitSimple().text,
    check: (built) => {
      const info = read(built, "sites/all/modules/contrib/caption_filter/caption_filter.info");
      expect(info).toContain("; Information added by drush on 2020-01-01");
      expect(info).toContain('version = "7.x-1.2+0-dev"');
      expect(read(built, "sites/all/modules/cck_signup/m.info")).toMatch(/^version = "[0-9a-f]{7}"\nproject = "cck_signup"$/m);
      expect(readdirSync(join(rig.work, "cache/git")).length).toBeGreaterThan(0);
    },
  },
  {
    name: "testInfoYamlFileWritingGit",
    options: { ...nc, forceGitInfoFile: true },
    make: () => {
      const { url, commits } = repo("honeypot", { files: { "honeypot.info.yml": "name: Honeypot\n" }, branch: "8.x-1.x" });
      return `core = 8.x\napi = 2\nprojects[honeypot][download][url] = ${url}\nprojects[honeypot][download][branch] = 8.x-1.x\nprojects[honeypot][download][revision] = ${commits[0]?.slice(0, 7)}\n`;
    },
    check: (built) => expect(read(built, "modules/honeypot/honeypot.info.yml")).toContain("version: '8.x-1.x-dev'\nproject: 'honeypot'\n"),
  },
  {
    name: "gzip: a zip and a patch",
    options: nc,
    make: () =>
      `${d6}${library("getid3", file("getID3-1.9.8", { "v.txt": "old\n" }, "zip"), `libraries[getid3][patch][] = "${rig.server.serve("/1336886-11.patch", hunk("old", "new"))}"\n`)}`,
    check: (built) => expect(read(built, "sites/all/libraries/getid3/v.txt")).toBe("new\n"),
  },
  {
    name: "ignore-checksums",
    options: { ...nc, ignoreChecksums: true },
    make: checksummed("- fail -"),
    tree: ["sites/all/libraries/drush_make/README.txt"],
  },
  { name: "md5-fail", options: nc, make: checksummed("- fail -"), fails: /Checksum md5 verification failed/ },
  {
    name: "md5-succeed",
    options: nc,
    make: checksummed("3905d7917f2b3429490b01cfb60d8f5b"),
    tree: ["sites/all/libraries/drush_make/README.txt"],
  },
  {
    name: "include",
    make: included(false),
    tree: ["v.txt", "sites/all/modules/cck/v.txt", "!sites/all/modules/token"],
    check: (built) =>
      expect([
        read(built, "v.txt"),
        read(built, "sites/all/modules/cck/v.txt"),
        read(built, "sites/all/themes/eldorado_superfly/v.txt"),
      ]).toEqual(["drupal 6.17\n", "cck 6.x-2.6\n", "eldorado_superfly 6.x-1.1\n"]),
  },
  { name: "include (YAML)", make: included(true), tree: ["v.txt", "sites/all/modules/cck/v.txt", "!sites/all/modules/token"] },
  {
    name: "includes-git",
    make: () => {
      rig.project("drupal", "7.x", ["7.42"], "core", { "README.txt": "" });
      rig.project("apachesolr", "7.x", ["7.x-1.0"]);
      rig.project("jquery_update", "7.x", ["7.x-2.0"]);
      const { url } = repo("drush", {
        files: {
          "tests/platform.make": `${d7}projects[] = drupal\nprojects[apachesolr][subdir] = contrib\n`,
          "tests/sub.make": `${d7}projects[jquery_update][subdir] = contrib\n`,
        },
        branch: "includes-git-support",
      });
      const include = (name: string, path: string) =>
        `includes[${name}][makefile] = '${path}'\nincludes[${name}][download][type] = git\nincludes[${name}][download][url] = "${url}"\nincludes[${name}][download][branch] = includes-git-support\n`;
      return `${d7}${include("platform", "tests/platform.make")}${include("subplatform", "tests/sub.make")}`;
    },
    tree: ["README.txt", "sites/all/modules/contrib/apachesolr/v.txt", "sites/all/modules/contrib/jquery_update/v.txt"],
  },
  {
    name: "limit-libraries",
    options: { ...nc, libraries: ["drush_make"] },
    make: limited,
    tree: ["sites/all/libraries/drush_make/a", "!sites/all/libraries/token", "!sites/all/modules"],
  },
  {
    name: "limit-libraries-multiple",
    options: { ...nc, libraries: ["drush_make", "token"] },
    make: limited,
    tree: ["sites/all/libraries/drush_make/a", "sites/all/libraries/token/a", "!sites/all/modules"],
  },
  {
    name: "limit-projects",
    options: { ...nc, projects: ["boxes"] },
    make: limited,
    tree: ["sites/all/modules/boxes/v.txt", "!sites/all/modules/admin_menu", "!sites/all/libraries"],
  },
  {
    name: "limit-projects-multiple",
    options: { ...nc, projects: ["boxes", "admin_menu"] },
    make: limited,
    tree: ["sites/all/modules/boxes/v.txt", "sites/all/modules/admin_menu/v.txt", "!sites/all/libraries"],
  },
  {
    name: "no-patch-txt",
    options: { ...nc, noPatchTxt: true },
    make: patches,
    tree: ["!sites/all/modules/wysiwyg/PATCHES.txt", "!sites/all/modules/wysiwyg/local.patch"],
    check: (built) => expect(read(built, "sites/all/modules/wysiwyg/v.txt")).toBe("two\n"),
  },
  {
    name: "patch: remote and local, recorded in PATCHES.txt",
    options: nc,
    make: patches,
    tree: ["sites/all/modules/wysiwyg/local.patch", "sites/all/modules/features/PATCHES.txt"],
    check: (built) => {
      expect(read(built, "sites/all/modules/wysiwyg/PATCHES.txt")).toContain(`- ${rig.server.url}/624018-211.patch\n- local.patch\n`);
      expect([read(built, "sites/all/modules/wysiwyg/v.txt"), read(built, "sites/all/modules/features/v.txt")]).toEqual([
        "two\n",
        "patched\n",
      ]);
    },
  },
  {
    name: "options-array: working copies and no core by the make file",
    make: () => gitSimple().text.replace("api = 2\n", "api = 2\noptions[working-copy] = TRUE\noptions[no-core] = TRUE\n"),
    check: (built) => expect(read(built, "sites/all/modules/context_admin/.git/HEAD")).toMatch(/^[0-9a-f]{40}\n$/),
  },
  {
    name: "options-project: a working copy only where it is set",
    options: nc,
    make: () =>
      `${gitSimple().text}projects[context_admin][options][working-copy] = TRUE\nprojects[caption_filter][options][working-copy] = TRUE\n`,
    tree: ["sites/all/modules/context_admin/.git", "sites/all/modules/contrib/caption_filter/.git", "!sites/all/modules/cck_signup/.git"],
  },
  {
    name: "recursion",
    options: { ...nc, contribDestination: "profiles/drupal_forum" },
    make: recursion,
    tree: ["profiles/drupal_forum/drupal_forum.profile", "profiles/drupal_forum/modules/ctools/v.txt"],
    check: (built) => expect(read(built, "profiles/drupal_forum/modules/views/v.txt")).toBe("views 7.x-3.0-rc3\n"),
  },
  {
    name: "norecursion",
    options: { ...nc, noRecursion: true },
    make: recursion,
    tree: ["profiles/drupal_forum/v.txt", "!profiles/drupal_forum/modules"],
    check: (built) => expect(JSON.stringify(built.report)).not.toContain("ctools"),
  },
  {
    name: "recursion-override: the outer version wins",
    options: nc,
    make: () => {
      rig.project("libraries", "7.x", ["7.x-2.1", "7.x-2.0"]);
      rig.project("custom_formatters", "7.x", ["7.x-2.2"], "module", {
        "custom_formatters.make": `${d7}projects[libraries][version] = 2.0\n`,
      });
      return `${d7}defaults[projects][subdir] = contrib\nprojects[libraries][version] = 2.1\nprojects[custom_formatters][version] = 2.2\n`;
    },
    check: (built) => {
      expect(read(built, "sites/all/modules/contrib/libraries/v.txt")).toBe("libraries 7.x-2.1\n");
      expect(has(built, "sites/all/modules/libraries")).toBe(false);
    },
  },
  {
    name: "subtree",
    options: nc,
    make: () =>
      `${d6}${library("nivo-slider", rig.server.serve("/nivo.zip", nivo()), "libraries[nivo-slider][download][subtree] = nivo-slider\n")}${library("fullcalendar", file("fullcalendar-1.5.3", { "fullcalendar/f.js": "", "demos/d": "" }, "zip"), "libraries[fullcalendar][download][subtree] = fullcalendar-1.5.3/fullcalendar\n")}`,
    tree: [
      "sites/all/libraries/nivo-slider/n.js",
      "!sites/all/libraries/nivo-slider/__MACOSX",
      "!sites/all/libraries/nivo-slider/nivo-slider",
      "sites/all/libraries/fullcalendar/f.js",
      "!sites/all/libraries/fullcalendar/demos",
    ],
  },
  {
    name: "translations",
    options: { ...nc, translations: ["es", "pt-br"] },
    make: () => {
      sixth();
      return `${translations("6.x", ["token-6.x-1.18"])}projects[token][version] = "1.18"\n`;
    },
    tree: ["sites/all/modules/token/translations/es.po", "sites/all/modules/token/translations/pt-br.po"],
  },
  { name: "translations-inside", make: inside("6.x", "6.22", "1.18"), tree: insideTree },
  { name: "translations-inside7", make: inside("7.x", "7.10", "1.0-beta7"), tree: insideTree },
  {
    name: "use-distribution-as-core",
    make: () => {
      rig.project("commerce_kickstart", "7.x", ["7.x-1.19"], "distribution", { "index.php": "", "profiles/commerce_kickstart/a": "" });
      rig.project("oauth2_server", "7.x", ["7.x-1.0-beta2"]);
      return 'api = 2\ncore = 7.x\nprojects[commerce_kickstart][type] = core\nprojects[commerce_kickstart][version] = "7.x-1.19"\nprojects[oauth2_server][type] = module\nprojects[oauth2_server][version] = "1.0-beta2"\n';
    },
    tree: ["index.php", "profiles/commerce_kickstart/a", "sites/all/modules/oauth2_server/v.txt"],
    check: (built) => expect(read(built, "v.txt")).toBe("commerce_kickstart 7.x-1.19\n"),
  },
];

function tarOf(): Buffer {
  return packed(["tar", "-czf", "-", "devel"], { "devel/d": "1" });
}
function zipOf(): Buffer {
  return packed(["zip"], { "jaysalvat-vegas-1/z": "1" });
}
function nivo(): Buffer {
  return packed(["zip"], { "nivo-slider/n.js": "", "__MACOSX/x": "" });
}
function packed(argv: readonly string[], files: Files): Buffer {
  const directory = join(rig.work, `pack${Math.random()}`);
  mkdirSync(directory);
  rig.write(
    Object.fromEntries(Object.entries(files).map(([name, content]) => [join(directory.slice(rig.work.length + 1), name), content])),
  );
  if (argv[0] !== "zip") return execFileSync(argv[0] ?? "", argv.slice(1), { cwd: directory });
  execFileSync("python3", ["-m", "zipfile", "-c", "out.zip", ...readdirSync(directory)], { cwd: directory });
  return execFileSync("cat", ["out.zip"], { cwd: directory });
}

describe("drush's own tests of make", () => {
  it.each(ROWS.map((row) => [row.name, row] as const))("%s", async (_, { make, options = {}, tree = [], check, fails }) => {
    if (fails) {
      expect(said(await rig.refused(make(), options))).toMatch(fails);
      return;
    }
    const built = await rig.build(make(), options);
    expect(tree.filter((path) => has(built, path.replace(/^!/, "")) === path.startsWith("!"))).toEqual([]);
    check?.(built);
  });

  it("testMakeMoveBuild: into a directory that is there, its modules stay", async () => {
    rig.write({ "site/sites/all/modules/contrib/cck_signup/a": "mine" });
    const built = await rig.build(contribDestination(), nc, { destination: join(rig.work, "site") });
    expect([has(built, "sites/all/modules/contrib/cck_signup/a"), has(built, "sites/all/modules/contrib/boxes/v.txt")]).toEqual([
      true,
      true,
    ]);
  });
});
