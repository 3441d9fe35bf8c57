import { describe, it } from "vitest";
import { probeSuite } from "../support/web-probes.js";

const core = process.env["PROVISION_TEST_DRUPAL7"] || undefined;

if (core === undefined) {
  describe("Drupal 7 behind real web servers", () => {
    it.skip("SKIPPED: PROVISION_TEST_DRUPAL7 names no directory with a Drupal 7", () => {});
  });
} else for (const type of ["nginx", "apache"] as const) for (const plain of [false, true]) probeSuite(type, { core, plain });
