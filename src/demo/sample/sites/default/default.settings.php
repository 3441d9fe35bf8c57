<?php

/**
 * @file
 * What a settings.php may hold. provision writes one for every site, in sites/<name>/.
 */

// Connections: driver (sqlite, mysql, pgsql), database; with a server also host, port, username and password.
$databases = array();

// Secret of the site; login links and tokens depend on it.
$drupal_hash_salt = '';

// Stored variables can be overruled.
# $conf['site_name'] = 'My site';
# $conf['file_public_path'] = 'sites/example.com/files';
