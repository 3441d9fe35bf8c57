import { realLives } from "../support/real-life-suite.js";

/** And each core here, on what it was not on with nginx, where it can. */
realLives("apache", [
  ["drupal7", "pgsql"],
  ["drupal", "sqlite"],
  ["backdrop", "mysql"],
  ["drupal7", "sqlite"],
]);
