import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../src/core/scope.js";
import { drupal7 } from "../../src/engines/drupal7/index.js";
import { LocalHost } from "../../src/host/local.js";
import { installInput, makeSite } from "../support/engine-site.js";
import { makeFakeCore, type Trap, trapped } from "../support/fake-core.js";

/** The loop that Drupal 7's update.php runs, without its batch pages. */
const UPDATEDB = `
  define('DRUPAL_ROOT', $argv[1]); chdir(DRUPAL_ROOT);
  $_SERVER['HTTP_HOST'] = 'a.test'; $_SERVER['SCRIPT_NAME'] = '/index.php';
  require 'includes/bootstrap.inc'; drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL); require 'includes/update.inc';
  drupal_load_updates();
  $start = array_map(function ($m) { return $m['start']; }, update_get_update_list());
  $context = array('results' => array(), 'sandbox' => array(), 'finished' => 1); $passes = array();
  foreach (update_resolve_dependencies($start) as $function => $update) {
    $context['sandbox'] = array(); $passes[$function] = 0;
    do { $context['finished'] = 1; update_do_one($update['module'], $update['number'], array(), $context); $passes[$function]++; } while ($context['finished'] < 1);
  }
  echo json_encode(array('passes' => $passes, 'abort' => isset($context['results']['#abort']) ? $context['results']['#abort'] : array(), 'schema' => drupal_get_installed_schema_version('trap')));
`;

describe("updates of the fake core", () => {
  const host = new LocalHost(new Scope());
  let hub: string;
  let docroot: string;

  beforeAll(async () => {
    hub = await mkdtemp(join(tmpdir(), "provision-fake-"));
    docroot = await makeFakeCore(join(hub, "platform"));
    await drupal7.install(await makeSite(drupal7, host, hub, docroot, "a.test"), installInput());
  });
  afterAll(() => host.remove(hub));

  const updatedb = (traps: readonly Trap[]) =>
    trapped(docroot, traps, async () => JSON.parse((await host.run(["php", "-r", UPDATEDB, docroot])).stdout) as Record<string, unknown>);

  it("none wait on a fresh site", async () => {
    expect(await updatedb([])).toMatchObject({ passes: {}, schema: 7001 });
  });

  it("one that fails stops those after it, and the schema stays at the last good one", async () => {
    expect(await updatedb(["pending-updates", "failing-update"])).toMatchObject({ abort: ["trap_update_7003"], schema: 7002 });
  });

  it("go on from there", async () => {
    expect(await updatedb(["pending-updates"])).toMatchObject({
      passes: { trap_update_7003: 1, trap_update_7004: 1 },
      abort: [],
      schema: 7004,
    });
  });

  it("run in several passes when they ask for it", async () => {
    await drupal7.install(await makeSite(drupal7, host, hub, docroot, "b.test"), installInput());
    const script = UPDATEDB.replace("'a.test'", "'b.test'");
    const result = await trapped(docroot, ["pending-updates"], () => host.run(["php", "-r", script, docroot]));
    expect(JSON.parse(result.stdout)).toEqual({
      passes: { trap_update_7002: 3, trap_update_7003: 1, trap_update_7004: 1 },
      abort: [],
      schema: 7004,
    });
  });
});
