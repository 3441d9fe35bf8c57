<?php

/**
 * Written by provision for example.com, generation 20261123T091500-7f3a. Changes made here are lost at the next verify.
 *
 * Own settings belong in local.settings.php beside this file, or for all sites of
 * this platform in sites/all/platform.settings.php; both may overrule what is here.
 */

// No account of the database stands here, for PHP of other sites could read it: the web server gives it with each request, and the command
// line takes it from a file of provision's own user.
if (!isset($_SERVER['db_passwd']) && is_readable('/var/aegir/sites/example.com/it\'s/account.settings.php')) {
  $_SERVER = (include '/var/aegir/sites/example.com/it\'s/account.settings.php') + $_SERVER;
}
if (isset($_SERVER['db_name'], $_SERVER['db_user'], $_SERVER['db_passwd'])) {
  $databases = array(
    'default' => array(
      'default' => array(
        'driver' => 'mysql',
        'host' => '127.0.0.1',
        'port' => '3306',
        'database' => rawurldecode($_SERVER['db_name']),
        'username' => rawurldecode($_SERVER['db_user']),
        'password' => rawurldecode($_SERVER['db_passwd']),
        'charset' => 'utf8mb4',
      ),
    ),
  );
}
foreach (array('db_name', 'db_user', 'db_passwd') as $provision_name) {
  unset($_SERVER[$provision_name], $_ENV[$provision_name]);
  putenv($provision_name);
}
unset($provision_name);

// Never empty: core would then take a hash of the lines above, and end all sessions when a password changes.
$drupal_hash_salt = 'a-salt';
$update_free_access = FALSE;

// A generation beside the one that serves stands in a directory of another name until it takes its place.
$conf['file_public_path'] = 'sites/' . basename(__DIR__) . '/files';
$conf['file_private_path'] = '/var/aegir/sites/example.com/20261123T091500-7f3a/private';
$conf['file_temporary_path'] = '/var/aegir/sites/example.com/20261123T091500-7f3a/tmp';

// Code on a platform is changed by provision, not by a web page.
$conf['allow_authorize_operations'] = FALSE;

// Generations of one site never share a cache: Memcache, and Redis.
$conf['memcache_key_prefix'] = 'example.com:20261123T091500-7f3a';
$conf['cache_prefix'] = 'example.com:20261123T091500-7f3a';

// Files are shared by the web server's user and the one that provision runs as, through their group.
umask(0002);

ini_set('session.gc_probability', 1);
ini_set('session.gc_divisor', 100);
ini_set('session.gc_maxlifetime', 200000);
ini_set('session.cookie_lifetime', 2000000);

if (is_readable(DRUPAL_ROOT . '/sites/all/platform.settings.php')) {
  include DRUPAL_ROOT . '/sites/all/platform.settings.php';
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
