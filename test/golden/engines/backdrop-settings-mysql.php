<?php

/**
 * Written by provision for example.com, generation 20261123T091500-7f3a. Changes made here are lost at the next verify.
 *
 * Own settings belong in local.settings.php beside this file, or for all sites of
 * this platform in sites/all/platform.settings.php; both may overrule what is here.
 */

$databases = array(
  'default' => array(
    'default' => array(
      'driver' => 'mysql',
      'host' => '127.0.0.1',
      'port' => '3306',
      'database' => 'example_com_7f3a',
      'username' => 'example_com_7f3a',
      'password' => 'it\'s \\ a $secret <?php ?>
',
      'charset' => 'utf8mb4',
    ),
  ),
);

$config_directories['active'] = '/var/aegir/sites/example.com/20261123T091500-7f3a/config/active';
$config_directories['staging'] = '/var/aegir/sites/example.com/20261123T091500-7f3a/config/staging';

// Never empty: the installer would write one of its own into this file.
$settings['hash_salt'] = 'a-salt';
$settings['update_free_access'] = FALSE;
// Core would take databases and settings out of the environment, the same for every site of the server, and after this file.
unset($_SERVER['BACKDROP_SETTINGS']);
// Functions by their names in Drupal 7, which modules that came from there still call.
$settings['backdrop_drupal_compatibility'] = TRUE;

// Names that visitors may use. Core looks at the port too, and at nothing on the command line.
$settings['trusted_host_patterns'] = array(
  '^example\\.com(:\\d+)?$',
  '^www\\.example\\.com(:\\d+)?$',
);

// A generation beside the one that serves stands in a directory of another name until it takes its place.
$config['system.core']['file_public_path'] = 'sites/' . basename(__DIR__) . '/files';
$config['system.core']['file_private_path'] = '/var/aegir/sites/example.com/20261123T091500-7f3a/private';
$config['system.core']['file_temporary_path'] = '/var/aegir/sites/example.com/20261123T091500-7f3a/tmp';

// Code on a platform is changed by provision, not by a web page.
$settings['allow_authorize_operations'] = FALSE;

// Generations of one site never share a cache: Memcache, and Redis.
$settings['memcache_key_prefix'] = 'example.com:20261123T091500-7f3a';
$settings['cache_prefix'] = 'example.com:20261123T091500-7f3a';

// Files are shared by the web server's user and the one that provision runs as, through their group.
umask(0002);

ini_set('session.gc_probability', 1);
ini_set('session.gc_divisor', 100);
ini_set('session.gc_maxlifetime', 200000);
ini_set('session.cookie_lifetime', 2000000);

if (is_readable(BACKDROP_ROOT . '/sites/all/platform.settings.php')) {
  include BACKDROP_ROOT . '/sites/all/platform.settings.php';
}
if (is_readable(__DIR__ . '/local.settings.php')) {
  include __DIR__ . '/local.settings.php';
}

// While provision moves this site, it is read as ever and written by nobody.
call_user_func(function () {
  $cli = PHP_SAPI === 'cli';
  // provision's own PHP passes; only a command line is believed.
  if (isset($GLOBALS['provision_gate']) || ($cli && getenv('PROVISION_OPERATION'))) {
    return;
  }
  $method = isset($_SERVER['REQUEST_METHOD']) ? $_SERVER['REQUEST_METHOD'] : 'GET';
  $script = isset($_SERVER['SCRIPT_NAME']) ? $_SERVER['SCRIPT_NAME'] : '';
  $page = isset($_SERVER['REQUEST_URI']) ? rawurldecode((string) strtok($_SERVER['REQUEST_URI'], '?')) : '';
  $base = rtrim(dirname($script), '/\\');
  if ($base !== '' && strncmp($page, "$base/", strlen($base) + 1) === 0) {
    $page = substr($page, strlen($base));
  }
  $page = trim(preg_replace('~^/+index\.php(?=/|$)~', '', $page), '/');
  $query = isset($_GET['q']) && is_string($_GET['q']) ? trim($_GET['q'], '/') : '';
  $pages = '~^(?:(?:[a-z]{2,3}(?:-[a-z0-9]+)?/)?(?:cron/[^/]+|update\\.php(?:/.*)?|(?:admin/reports/status|system)/run-cron))$~Di';
  $writes = $cli || !in_array($method, array('GET', 'HEAD', 'OPTIONS'), TRUE)
    || in_array(basename($script), array('cron.php', 'update.php', 'install.php', 'authorize.php', 'rebuild.php'), TRUE)
    || preg_match($pages, $page) || preg_match($pages, $query);
  $GLOBALS['provision_gate'] = $writes ? @fopen('/var/aegir/sites/example.com/20261123T091500-7f3a/gate', 're') : NULL;
  $open = !$writes || ($GLOBALS['provision_gate'] && flock($GLOBALS['provision_gate'], LOCK_SH | LOCK_NB));
  clearstatcache(TRUE, '/var/aegir/sites/example.com/20261123T091500-7f3a/gate.closed');
  if ($open && !is_file('/var/aegir/sites/example.com/20261123T091500-7f3a/gate.closed')) {
    return;
  }
  $GLOBALS['provision_gate_closed'] = TRUE;
  if (!$writes) {
    $GLOBALS['provision_gate'] = FALSE;
    return;
  }
  if ($GLOBALS['provision_gate']) {
    fclose($GLOBALS['provision_gate']);
  }
  if ($cli) {
    file_put_contents('php://stderr', "This site is being moved, and takes no changes now. Try again in a moment.\n");
    exit(75);
  }
  http_response_code(503);
  header('Retry-After: 5');
  header('Cache-Control: no-store');
  header('Content-Type: text/html; charset=utf-8');
  exit("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Try again in a moment</title></head>"
    . "<body><h1>Nothing can be changed here just now</h1><p>Please try again in a moment.</p></body></html>\n");
});
if (!empty($GLOBALS['provision_gate_closed'])) {
  $conf['cron_safe_threshold'] = 0;
  $config['automated_cron.settings']['interval'] = 0;
}
