<?php

/**
 * @file
 * Tells the first account which database updates wait; they are run from the command line.
 */

define('DRUPAL_ROOT', getcwd());
require_once DRUPAL_ROOT . '/includes/bootstrap.inc';
drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);
require_once DRUPAL_ROOT . '/includes/page.inc';
require_once DRUPAL_ROOT . '/includes/update.inc';

if (empty($GLOBALS['update_free_access']) && (int) $GLOBALS['user']->uid !== 1) {
  sample_print_page('Access denied', '<p>Database updates are for the first account.</p>', 403);
  exit;
}
drupal_load_updates();
$pending = array_keys(update_resolve_dependencies(array_map(function ($module) {
  return $module['start'];
}, update_get_update_list())));
sample_print_page('Database updates', $pending ? '<p>Waiting: ' . check_plain(implode(', ', $pending)) . '</p>' : '<p>None.</p>');
