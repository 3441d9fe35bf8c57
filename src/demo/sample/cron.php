<?php

/**
 * @file
 * Runs cron for whoever knows the site's key: /cron.php?cron_key=KEY
 */

define('DRUPAL_ROOT', getcwd());
require_once DRUPAL_ROOT . '/includes/bootstrap.inc';
drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);

$key = isset($_GET['cron_key']) && is_string($_GET['cron_key']) ? $_GET['cron_key'] : '';
if (!hash_equals((string) variable_get('cron_key', ''), $key) || $key === '') {
  http_response_code(403);
  exit("Cron needs the site's key.\n");
}
drupal_cron_run();
