import { cp } from "node:fs/promises";
import { describe, it } from "vitest";
import { drupal7 } from "../../src/engines/drupal7/index.js";
import { engineSuite } from "../support/engine-suite.js";

/** An unpacked Drupal 7; it is copied, and never changed. */
const { PROVISION_TEST_DRUPAL7: tree } = process.env;

if (tree === undefined || tree === "") {
  describe("Drupal 7 engine on a real Drupal 7", () => {
    it.skip("SKIPPED: PROVISION_TEST_DRUPAL7 names no unpacked Drupal 7 tree", () => {});
  });
} else {
  engineSuite(drupal7, `the real Drupal 7 in ${tree}`, (docroot) => cp(tree, docroot, { recursive: true }), /^7\.\d+$/);
}
