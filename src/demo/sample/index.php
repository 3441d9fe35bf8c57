<?php

/**
 * @file
 * Answers every page request. As in Drupal 7, the web server starts it in the docroot.
 */

define('DRUPAL_ROOT', getcwd());
require_once DRUPAL_ROOT . '/includes/bootstrap.inc';
drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);
require_once DRUPAL_ROOT . '/includes/page.inc';
sample_serve_page(request_path());
