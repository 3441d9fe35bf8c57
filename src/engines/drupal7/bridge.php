<?php

/**
 * Drives one site of a Drupal 7 platform from outside.
 *
 * Request: {
 *   "op": "install" | "status" | "inventory" | "login" | "cron" | "cache" | "maintenance",
 *   "docroot": absolute path,
 *   "lookup": URL that stands for the site's own name (the core finds the site's directory by it),
 *   "directory": name below sites/ that the core must find,
 *   "url": URL for links, as a visitor types it; it need not lead to the directory (an alias, another port),
 *   … and per op: profile, language, site_name, site_mail, account_name, account_mail, account_password; uid; on
 * }
 * Error codes: wrong_site, not_installed, already_installed, not_empty, no_profile, no_account, cron_locked,
 * overridden, incomplete, unreadable, exception, died, bad_request.
 */

require dirname(__DIR__) . '/bridge.php';

$provision_request = ProvisionBridge::open();
define('DRUPAL_ROOT', $provision_request['docroot']);
if (!chdir(DRUPAL_ROOT)) {
  ProvisionBridge::refuse('bad_request', 'no such directory: ' . DRUPAL_ROOT);
}

// Caught here and not by an exception handler: the core replaces handlers while it starts.
try {
  ProvisionBridge::answer(provision_run($provision_request));
}
catch (Throwable $problem) {
  ProvisionBridge::onException($problem);
}

function provision_run(array $request) {
  switch ($request['op']) {
    case 'install':
      return provision_install($request);

    case 'status':
      return provision_status($request);

    case 'inventory':
      return provision_inventory($request);

    case 'login':
      return provision_login($request);

    case 'cron':
      return provision_cron($request);

    case 'cache':
      provision_boot_full($request);
      drupal_flush_all_caches();
      ProvisionBridge::trap();
      provision_collect_messages();
      return array();

    case 'maintenance':
      return provision_maintenance($request);
  }
  ProvisionBridge::refuse('bad_request', "no such op: $request[op]");
}

/**
 * Loads settings.php of the right site.
 *
 * conf_path() answers with a parent domain's directory, or with sites/default, when sites/<directory> has no
 * settings.php; everything would then happen to another site. It is asked by the site's own name, and keeps its
 * answer; after that the request's host name is only what links are made of.
 */
function provision_boot_settings(array $request) {
  ProvisionBridge::pretendRequest($request['lookup'], DRUPAL_ROOT);
  require_once DRUPAL_ROOT . '/includes/bootstrap.inc';
  provision_check_site($request);
  // Core would go on with a warning, as a site without a database.
  if (!is_file("sites/$request[directory]/settings.php") || !is_readable("sites/$request[directory]/settings.php")) {
    ProvisionBridge::refuse('unreadable', "sites/$request[directory]/settings.php cannot be read by the user that PHP runs as");
  }
  if ($request['op'] !== 'install') {
    ProvisionBridge::pretendRequest($request['url'], DRUPAL_ROOT);
  }
  drupal_bootstrap(DRUPAL_BOOTSTRAP_CONFIGURATION);
  ProvisionBridge::trap();
  provision_check_site($request);
}

function provision_check_site(array $request) {
  $found = conf_path();
  if ($found !== "sites/$request[directory]") {
    ProvisionBridge::refuse('wrong_site', "the core resolves $request[lookup] to $found instead of sites/$request[directory]");
  }
}

/** Whether settings.php names a database that is there. SQLite's driver would make the file by looking for it. */
function provision_has_database() {
  if (empty($GLOBALS['databases']['default']['default']['driver'])) {
    return FALSE;
  }
  $database = $GLOBALS['databases']['default']['default'];
  return $database['driver'] !== 'sqlite' || is_file($database['database']);
}

/**
 * Stored variables as they are, from a database that may be empty or half made.
 *
 * Opened as the installer does it, without the bootstrap phase of that name: the phases before it load modules and
 * caches, and it registers class loaders, which all ask tables that need not be there.
 */
function provision_stored_variables(array $names) {
  require_once DRUPAL_ROOT . '/includes/database/database.inc';
  $variables = array();
  if (db_table_exists('variable')) {
    foreach ($names as $name) {
      $value = db_query('SELECT value FROM {variable} WHERE name = :name', array(':name' => $name))->fetchField();
      if ($value !== FALSE && $value !== NULL) {
        $variables[$name] = unserialize($value, array('allowed_classes' => FALSE));
      }
    }
  }
  // As in variable_initialize(): what settings.php says wins.
  return array_intersect_key($GLOBALS['conf'], array_flip($names)) + $variables;
}

/** A site that works: all modules loaded, hook_init() run. Answers with the variables that settings.php sets. */
function provision_boot_full(array $request) {
  provision_boot_settings($request);
  $overrides = $GLOBALS['conf'];
  // A core without a database redirects to install.php and exits with 0; one with an empty database may do anything.
  if (!provision_has_database()) {
    ProvisionBridge::refuse('not_installed', 'settings.php names no database, or its file is not there');
  }
  $variables = provision_stored_variables(array('install_task'));
  if (!isset($variables['install_task']) || $variables['install_task'] !== 'done') {
    ProvisionBridge::refuse('not_installed', 'the database holds no complete installation');
  }
  drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);
  ProvisionBridge::trap();
  return $overrides;
}

/** What the core would have shown on the next page. */
function provision_collect_messages() {
  if (!function_exists('drupal_get_messages')) {
    return;
  }
  foreach ((array) drupal_get_messages() as $type => $messages) {
    if ($type !== 'status') {
      foreach ($messages as $message) {
        ProvisionBridge::warn($message);
      }
    }
  }
}

function provision_install(array $request) {
  $profile = $request['profile'];
  if (!preg_match('/^[a-z][a-z0-9_]*$/D', $profile) || !is_file("profiles/$profile/$profile.profile")) {
    $available = array_map(function ($file) {
      return basename($file, '.profile');
    }, glob('profiles/*/*.profile') ?: array());
    ProvisionBridge::refuse('no_profile', "this platform has no install profile $profile; it has: " . implode(', ', $available));
  }

  define('MAINTENANCE_MODE', 'install');
  require_once DRUPAL_ROOT . '/includes/install.core.inc';
  // The core reads settings.php now and not again, so that the handlers set after it stay ours through the installation.
  provision_boot_settings($request);
  if (empty($GLOBALS['databases']['default']['default'])) {
    ProvisionBridge::refuse('exception', "sites/$request[directory]/settings.php names no database");
  }
  provision_require_empty_database();
  $base_url = isset($GLOBALS['base_url']) ? $GLOBALS['base_url'] : NULL;
  $unsynced = provision_suspend_syncs();

  install_drupal(array(
    'parameters' => array('profile' => $profile, 'locale' => $request['language']),
    'server' => $_SERVER,
    'forms' => array(
      'install_configure_form' => array(
        'site_name' => $request['site_name'],
        'site_mail' => $request['site_mail'],
        'account' => array(
          'name' => $request['account_name'],
          'mail' => $request['account_mail'],
          'pass' => array('pass1' => $request['account_password'], 'pass2' => $request['account_password']),
        ),
        'site_default_country' => '',
        'date_default_timezone' => 'UTC',
        // NULL leaves a check box empty; FALSE would be refused as an invalid choice.
        'update_status_module' => array(1 => NULL, 2 => NULL),
        'clean_url' => TRUE,
        'op' => 'Save and continue',
      ),
    ),
  ));
  ProvisionBridge::trap();
  provision_check_site($request);
  provision_collect_messages();
  if (variable_get('install_task') !== 'done') {
    ProvisionBridge::refuse('incomplete', 'the installer returned, but its last task was ' . var_export(variable_get('install_task'), TRUE));
  }
  if ($unsynced) {
    provision_sync();
  }
  $result = array('profile' => (string) variable_get('install_profile'), 'login' => NULL);
  // Links of another language may have a prefix, which only a fully started site knows.
  if ($request['language'] === 'en' && $base_url === rtrim($request['lookup'], '/')) {
    // Not set by settings.php, so it came from the request; a visitor's may have a port.
    $GLOBALS['base_url'] = $request['url'];
    $result['login'] = user_pass_reset_url(user_load(1)) . '/login';
  }
  return $result;
}

/**
 * SQLite waits for the disk at the end of each of the installer's hundreds of transactions. What is left of an
 * installation that was cut short is thrown away whole, so that one wait at its end does.
 */
function provision_suspend_syncs() {
  if ($GLOBALS['databases']['default']['default']['driver'] !== 'sqlite') {
    return FALSE;
  }
  $database = Database::getConnection();
  // The other journal modes have no call that brings everything to the disk.
  if ($database->query('PRAGMA journal_mode')->fetchColumn() !== 'wal') {
    return FALSE;
  }
  $database->query('PRAGMA synchronous = OFF');
  return TRUE;
}

/** Ends what provision_suspend_syncs() began: syncs the log, moves it into the database, syncs that. */
function provision_sync() {
  $database = Database::getConnection();
  $database->query('PRAGMA synchronous = FULL');
  if ((int) $database->query('PRAGMA wal_checkpoint(FULL)')->fetchColumn() !== 0) {
    ProvisionBridge::refuse('incomplete', 'the new database could not be brought to the disk: another process reads it');
  }
}

/** The installer goes on with what an interrupted one left, and calls a wrong password «already installed». */
function provision_require_empty_database() {
  $database = $GLOBALS['databases']['default']['default'];
  if ($database['driver'] === 'sqlite' && !is_file($database['database'])) {
    // SQLite itself makes files that the group cannot write, whatever the umask; what it makes beside this one
    // (-wal, -shm) gets the same mode.
    touch($database['database']);
    chmod($database['database'], 0660);
  }
  $variables = provision_stored_variables(array('install_task'));
  if (isset($variables['install_task']) && $variables['install_task'] === 'done') {
    ProvisionBridge::refuse('already_installed', 'the database holds a complete installation');
  }
  foreach (array('variable', 'system', 'users') as $table) {
    if (db_table_exists($table)) {
      ProvisionBridge::refuse('not_empty', "the database is not empty: it has a table $table, left by an installation that did not end");
    }
  }
}

function provision_status(array $request) {
  provision_boot_settings($request);
  $status = array(
    'version' => VERSION,
    'installed' => FALSE,
    'profile' => NULL,
    'site_name' => NULL,
    'maintenance' => FALSE,
    'last_cron' => 0,
    'database' => '',
  );
  if (!empty($GLOBALS['databases']['default']['default']['database'])) {
    $status['database'] = (string) $GLOBALS['databases']['default']['default']['database'];
  }
  if (!provision_has_database()) {
    return $status;
  }
  $variables = provision_stored_variables(array('install_task', 'install_profile', 'site_name', 'maintenance_mode', 'cron_last'));
  $status['installed'] = isset($variables['install_task']) && $variables['install_task'] === 'done';
  $status['profile'] = isset($variables['install_profile']) ? (string) $variables['install_profile'] : NULL;
  $status['site_name'] = isset($variables['site_name']) ? (string) $variables['site_name'] : NULL;
  $status['maintenance'] = !empty($variables['maintenance_mode']);
  $status['last_cron'] = isset($variables['cron_last']) ? (int) $variables['cron_last'] : 0;
  return $status;
}

function provision_inventory(array $request) {
  provision_boot_full($request);
  require_once DRUPAL_ROOT . '/includes/install.inc';
  $known = array('module' => array(), 'theme' => array());
  foreach (db_query('SELECT name, type, status, schema_version FROM {system}') as $row) {
    $known[$row->type][$row->name] = $row;
  }

  // The functions with an underscore only read; those without write what they find to the database.
  $found = array('module' => _system_rebuild_module_data(), 'theme' => _system_rebuild_theme_data());
  $active = drupal_get_profile();
  $extensions = array();
  foreach ($found as $type => $files) {
    foreach ($files as $name => $file) {
      $row = isset($known[$type][$name]) ? $known[$type][$name] : NULL;
      $extensions[] = provision_extension($type === 'module' && $name === $active ? 'profile' : $type, $name, dirname($file->uri), $file->info, $row);
    }
  }
  foreach (glob('profiles/*/*.profile') ?: array() as $file) {
    $name = basename($file, '.profile');
    if ($name !== $active && $name === basename(dirname($file))) {
      $info = is_file("profiles/$name/$name.info") ? drupal_parse_info_file("profiles/$name/$name.info") : array();
      $extensions[] = provision_extension('profile', $name, "profiles/$name", (array) $info, NULL);
    }
  }

  $missing = array();
  foreach ($known as $type => $rows) {
    foreach ($rows as $name => $row) {
      if ($row->status && !isset($found[$type][$name])) {
        $missing[] = $name;
      }
    }
  }
  sort($missing);
  return array('version' => VERSION, 'extensions' => $extensions, 'missing' => $missing);
}

/** @param object|null $row Of the table {system}; SCHEMA_UNINSTALLED is -1. */
function provision_extension($type, $name, $path, array $info, $row) {
  return array(
    'name' => (string) $name,
    'type' => $type,
    'path' => $path,
    'version' => isset($info['version']) ? (string) $info['version'] : NULL,
    'project' => isset($info['project']) ? (string) $info['project'] : NULL,
    'enabled' => $row !== NULL && (bool) $row->status,
    'schema' => $type !== 'theme' && $row !== NULL && $row->schema_version >= 0 ? (int) $row->schema_version : NULL,
  );
}

function provision_login(array $request) {
  provision_boot_full($request);
  $uid = (int) $request['uid'];
  $account = $uid > 0 ? user_load($uid) : FALSE;
  if (!$account) {
    ProvisionBridge::refuse('no_account', "the site has no account with the number $uid");
  }
  if (!$account->status) {
    ProvisionBridge::refuse('no_account', "the account with the number $uid is blocked, and Drupal refuses a blocked account's link");
  }
  return array('url' => user_pass_reset_url($account) . '/login');
}

function provision_cron(array $request) {
  provision_boot_full($request);
  // Exceptions of a module's cron end in the log alone, and the run counts as a success.
  $logged = db_table_exists('watchdog') ? (int) db_query('SELECT MAX(wid) FROM {watchdog}')->fetchField() : NULL;
  $ran = drupal_cron_run();
  ProvisionBridge::trap();
  if ($logged !== NULL) {
    $entries = db_query("SELECT message, variables FROM {watchdog} WHERE wid > :wid AND type = 'cron' AND severity <= 3", array(':wid' => $logged));
    foreach ($entries as $entry) {
      $variables = @unserialize($entry->variables, array('allowed_classes' => FALSE));
      ProvisionBridge::warn('cron: ' . (is_array($variables) ? strtr($entry->message, array_filter($variables, 'is_scalar')) : $entry->message));
    }
  }
  provision_collect_messages();
  if (!$ran) {
    ProvisionBridge::refuse('cron_locked', 'cron did not run: another run holds its lock');
  }
  return array('last_cron' => (int) variable_get('cron_last', 0));
}

function provision_maintenance(array $request) {
  $overrides = provision_boot_full($request);
  $wanted = !empty($request['on']);
  if (isset($overrides['maintenance_mode']) && (bool) $overrides['maintenance_mode'] !== $wanted) {
    ProvisionBridge::refuse('overridden', "the site's settings set maintenance_mode themselves, and win over what is stored");
  }
  variable_set('maintenance_mode', $wanted ? 1 : 0);
  return array('maintenance' => (bool) variable_get('maintenance_mode', 0));
}
