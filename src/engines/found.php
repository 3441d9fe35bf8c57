<?php

/**
 * Reading a settings.php that somebody else wrote: by hand, by a core's installer, by Aegir. What the bridge scripts of all
 * engines share of that; the docroot is the working directory. It is run as the core runs it, so that what it computes is
 * known as the core knows it.
 */

/**
 * Aegir's settings.php takes the database account from the web server, with each request; on the command line it stood in
 * drushrc.php, which says it to $_SERVER, too. What the environment says already stays.
 */
function provision_tell_account($directory) {
  $settings = "sites/$directory/settings.php";
  $told = "sites/$directory/drushrc.php";
  if (isset($_SERVER['db_passwd']) || !is_readable($settings) || !is_readable($told)) {
    return;
  }
  if (strpos((string) file_get_contents($settings), "['db_") === FALSE) {
    return;
  }
  try {
    call_user_func(function () use ($told) {
      $options = array();
      include $told;
    });
  }
  catch (Throwable $problem) {
    ProvisionBridge::warn("$told could not be read: " . $problem->getMessage());
  }
}

/** settings.php, or what it includes, does not run. */
function provision_bad_settings($problem) {
  ProvisionBridge::refuse('bad_settings', ProvisionBridge::plain($problem->getMessage()), $problem->getFile() . ':' . $problem->getLine());
}

/** The database of the site's own tables, and what else stands beside it: keys and targets of other connections. */
function provision_found_database(array $databases) {
  $info = isset($databases['default']['default']) ? $databases['default']['default'] : NULL;
  $others = array();
  foreach ($databases as $key => $targets) {
    foreach (is_array($targets) ? array_keys($targets) : array() as $target) {
      if ("$key/$target" !== 'default/default') {
        $others[] = "$key/$target";
      }
    }
  }
  if (!is_array($info) || empty($info['driver']) || !isset($info['database'])) {
    return array('database' => NULL, 'others' => $others);
  }
  $text = function ($name) use ($info) {
    return isset($info[$name]) && is_scalar($info[$name]) ? (string) $info[$name] : '';
  };
  $prefix = isset($info['prefix']) ? $info['prefix'] : '';
  $path = $info['driver'] === 'sqlite' ? realpath($info['database']) : FALSE;
  return array(
    'database' => array(
      'driver' => $text('driver'),
      'host' => $text('host'),
      'port' => $text('port'),
      'socket' => $text('unix_socket'),
      'database' => $path === FALSE ? $text('database') : $path,
      'username' => $text('username'),
      // Of some tables only, or of all.
      'prefix' => implode(', ', array_filter((array) $prefix)),
    ),
    'others' => $others,
  );
}

/** What sites/sites.php calls this directory. */
function provision_found_names($directory) {
  if (!is_readable('sites/sites.php')) {
    return array();
  }
  try {
    $sites = call_user_func(function () {
      $sites = array();
      include 'sites/sites.php';
      return $sites;
    });
  }
  catch (Throwable $problem) {
    ProvisionBridge::warn('sites/sites.php could not be read: ' . $problem->getMessage());
    return array();
  }
  return array_map('strval', array_keys($sites, $directory, TRUE));
}

/** By which a server is known, whatever address it is reached by; NULL for SQLite. As in operations/parts/found-server.ts. */
function provision_identity_query($driver) {
  $queries = array(
    'mysql' => "SELECT CONCAT_WS('/', @@hostname, @@port, @@datadir, @@server_id)",
    'pgsql' => "SELECT CONCAT_WS('/', current_setting('port'), to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS'), (SELECT oid FROM pg_database WHERE datname = current_database()))",
  );
  return isset($queries[$driver]) ? $queries[$driver] : NULL;
}

/** A directory that is there, as the file system calls it; NULL for any other. */
function provision_found_directory($path) {
  $real = is_string($path) && $path !== '' && is_dir($path) ? realpath($path) : FALSE;
  return $real === FALSE ? NULL : $real;
}

/** A text, or NULL. */
function provision_found_text($value) {
  return is_scalar($value) && (string) $value !== '' ? (string) $value : NULL;
}

/** Names that are set here and not ours to write. */
function provision_found_own($variable, array $names, array $known) {
  $own = array();
  foreach (array_diff(array_map('strval', $names), $known) as $name) {
    $own[] = "{$variable}['$name']";
  }
  sort($own);
  return $own;
}

function provision_nothing_found() {
  return array(
    'installed' => FALSE,
    'profile' => NULL,
    'language' => NULL,
    'site_name' => NULL,
    'site_mail' => NULL,
    'files' => NULL,
    'private' => NULL,
    'identity' => NULL,
    'configuration' => new stdClass(),
    'stored_configuration' => FALSE,
    'own' => array(),
  );
}
