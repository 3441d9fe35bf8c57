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
      'host' => 'localhost',
      'port' => '3306',
      'database' => 'example_com_7f3a',
      'username' => 'example_com_7f3a',
      'password' => 'it\'s \\ a $secret <?php ?>
',
      'unix_socket' => '/run/mysqld/it\'s a socket',
      'charset' => 'utf8mb4',
    ),
  ),
);

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
