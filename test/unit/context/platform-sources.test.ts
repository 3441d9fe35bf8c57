import { describe, expect, test } from "vitest";
import { hubOf } from "../../support/context-hub.js";
import { failure } from "../../support/failure.js";

async function problems(text: string): Promise<string> {
  const hub = await hubOf({ "aliases/platform_x.yml": `context_type: platform\nroot: platforms/x\n${text}` });
  const error = await failure(hub.store.read("@platform_x"));
  return [error.message, ...error.why].join("\n").replaceAll(`${hub.root}/`, "");
}

describe("where the code of a platform comes from", () => {
  test("one source alone; a second one is refused with its place", async () => {
    expect(await problems("git: https://git.example.com/p.git\narchive: p.tar.gz\n")).toMatch(
      /aliases\/platform_x\.yml:4:10.*archive "p\.tar\.gz" stands beside git; a platform has one source/,
    );
  });

  test.each([
    ["git_ref: main\n", /:3:10.*git_ref "main" says something of git, which this platform does not have/],
    ["makefile: a.make\nworking_copy: true\n", /:4:15.*working_copy true says something of git/],
    ["archive: a.zip\narchive_sha256: abc\n", /:4:17.*is not a sha256/],
    ["composer: d10\ncomposer_version: ^10\n", /composer "d10" is not the name of a package, which composer_version wants/],
    ["composer: ../d10\n", /composer ".*" may not hold \.\./],
    ["git: ext::sh -c id\n", /git "ext::sh -c id" holds white space/],
    ["git: ext::sh\n", /is not a repository that is fetched/],
    ["git: -u./x\n", /begins with -/],
    ["git: ssh://-oProxyCommand=x/y\n", /begins its host name with -/],
    ["git: https://me:pw@git.example.com/p.git\n", /holds a password/],
    ["git: p\ngit_ref: --upload-pack=x\n", /is not the name of a branch, tag or commit/],
    ["git: p\ngit_ref: a..b\n", /is not the name of a branch, tag or commit/],
    ["git: p\ngit_path: ../x\n", /may not hold \.\./],
    ["git: p\ngit_path: drupal\nworking_copy: true\n", /git_path "drupal" cannot be cut out of a working_copy/],
  ])("%j is refused", async (text, expected) => {
    expect(await problems(text)).toMatch(expected);
  });

  test("a ref or version that looks like a number is taken as it is written", async () => {
    const hub = await hubOf({
      "aliases/platform_g.yml": "context_type: platform\nroot: platforms/g\ngit: git@example.com:p.git\ngit_ref: 7.10\n",
      "aliases/platform_c.yml": "context_type: platform\nroot: platforms/c\ncomposer: drupal/recommended-project\ncomposer_version: 10.0\n",
    });
    expect(await hub.store.read("@platform_g")).toMatchObject({ git_ref: "7.10" });
    expect(await hub.store.read("@platform_c")).toMatchObject({ composer_version: "10.0" });
  });
});
