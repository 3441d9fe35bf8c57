import { realLives } from "../support/real-life-suite.js";

/** Every core on MariaDB. */
realLives("nginx", [
  ["drupal7", "mysql"],
  ["drupal", "mysql"],
  ["backdrop", "mysql"],
  ["drupal", "pgsql"],
]);
