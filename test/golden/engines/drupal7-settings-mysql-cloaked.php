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

$conf['file_public_path'] = 'sites/example.com/files';
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
