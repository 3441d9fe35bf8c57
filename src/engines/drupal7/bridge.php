<?php

/**
 * Drives one site of a Drupal 7 platform from outside.
 *
 * Request: {
 *   "op": "install" | "status" | "found" | "inventory" | "login" | "cron" | "cache" | "maintenance" | "updates" | "update" |
 *     "rebuild" | "rename_profile" | "rewrite_paths" | "sanitize" | "renew_keys" | "log",
 *   "docroot": absolute path,
 *   "lookup": URL that stands for the site's own name (the core finds the site's directory by it),
 *   "directory": name below sites/ that the core must find,
 *   "url": URL for links, as a visitor types it; it need not lead to the directory (an alias, another port),
 *   … and per op: profile, language, site_name, site_mail, account_name, account_mail, account_password; uid; on;
 *   from, to; pairs; mail, name, values, emptied; after
 * }
 * Error codes: wrong_site, not_installed, already_installed, not_empty, no_profile, no_account, cron_locked,
 * overridden, incomplete, unreadable, bad_settings, update_failed, exception, died, bad_request.
 */

require dirname(__DIR__) . '/procedural.php';

$provision_request = ProvisionBridge::open();
define('DRUPAL_ROOT', $provision_request['docroot']);
provision_main($provision_request);

/** Drupal 7's function of that name without its prefix. */
function provision_core($name) {
  return "drupal_$name";
}

function provision_version() {
  return VERSION;
}

function provision_profile_file($profile) {
  return "profiles/$profile/$profile.profile";
}

/** The install profile that the site says it has. */
function provision_profile() {
  $variables = provision_stored_variables(array('install_profile'));
  return isset($variables['install_profile']) ? (string) $variables['install_profile'] : '';
}

function provision_set_profile($profile) {
  db_query("UPDATE {variable} SET value = :value WHERE name = 'install_profile'", array(':value' => serialize($profile)));
}

function provision_last_cron() {
  return (int) variable_get('cron_last', 0);
}

/** Names of rows that are better known than their tables. */
function provision_named_rows() {
  return array('variable' => 'name');
}

function provision_set_key($name, $key) {
  variable_set($name === 'private_key' ? 'drupal_private_key' : $name, $key);
}

/** Rewrites what is not in tables: nothing. */
function provision_rewrite_more($rewrite) {
  return array('changed' => array(), 'left' => array());
}

/** Stored values whose names match, emptied; answers with how many. */
function provision_empty_values(array $patterns) {
  foreach (array_keys($GLOBALS['conf']) as $name) {
    if (provision_matches($name, $patterns)) {
      ProvisionBridge::warn("settings.php sets $name itself");
    }
  }
  return provision_empty_rows('variable', $patterns);
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

/** A complete installation, of which no module is loaded yet. Answers with the variables that settings.php sets. */
function provision_boot_database(array $request) {
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
  // Not by the bootstrap phase DATABASE: the one before it loads variables, and modules that want to be early.
  require_once DRUPAL_ROOT . '/includes/cache.inc';
  foreach (variable_get('cache_backends', array()) as $include) {
    require_once DRUPAL_ROOT . '/' . $include;
  }
  return $overrides;
}

/** A site that works: all modules loaded, hook_init() run. Answers with the variables that settings.php sets. */
function provision_boot_full(array $request) {
  $overrides = provision_boot_database($request);
  drupal_bootstrap(DRUPAL_BOOTSTRAP_FULL);
  ProvisionBridge::trap();
  return $overrides;
}

/** As update.php: all modules and their updates loaded, no hook_init(), which may want what an update has yet to make. */
function provision_boot_update(array $request) {
  define('MAINTENANCE_MODE', 'update');
  provision_boot_full($request);
  require_once DRUPAL_ROOT . '/includes/install.inc';
  require_once DRUPAL_ROOT . '/includes/update.inc';
  drupal_load_updates();
  // Never update_fix_compatibility(): it disables every module that is not found on disk, without a word.
}

function provision_install(array $request) {
  $profile = $request['profile'];
  provision_check_profile($profile);

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

/** What the core itself takes where settings.php says none: made of the account. */
function provision_salt() {
  return drupal_get_hash_salt();
}

/** What the database of a site that somebody else made says of it, and settings.php beside the account. */
function provision_found_site(array $request) {
  $conf = array_keys($GLOBALS['conf']);
  $names = array('install_task', 'install_profile', 'site_name', 'site_mail', 'language_default', 'file_public_path', 'file_private_path');
  $variables = provision_stored_variables($names) + array_fill_keys($names, NULL);
  $language = is_object($variables['language_default']) ? (array) $variables['language_default'] : array();
  $files = $variables['file_public_path'] ? $variables['file_public_path'] : "sites/$request[directory]/files";
  return array(
    'installed' => $variables['install_task'] === 'done',
    'profile' => provision_found_text($variables['install_profile']),
    'language' => isset($language['language']) ? provision_found_text($language['language']) : 'en',
    'site_name' => provision_found_text($variables['site_name']),
    'site_mail' => provision_found_text($variables['site_mail']),
    'files' => provision_found_directory($files),
    'private' => provision_found_directory($variables['file_private_path']),
    'identity' => provision_found_identity(),
    'own' => provision_found_own('$conf', $conf, array(
      'file_public_path',
      'file_private_path',
      'file_temporary_path',
      'install_profile',
      'clean_url',
      'allow_authorize_operations',
      'memcache_key_prefix',
      'cache_prefix',
      // Of core's own default.settings.php.
      '404_fast_paths_exclude',
      '404_fast_paths',
      '404_fast_html',
    )),
  );
}

function provision_maintenance(array $request) {
  $overrides = provision_boot_full($request);
  $wanted = !empty($request['on']);
  if (isset($overrides['maintenance_mode']) && (bool) $overrides['maintenance_mode'] !== $wanted) {
    ProvisionBridge::refuse('overridden', "the site's settings set maintenance_mode themselves, and win over what is stored");
  }
  variable_set('maintenance_mode', $wanted ? 1 : 0);
  provision_forget_pages();
  return array('maintenance' => (bool) variable_get('maintenance_mode', 0));
}

/**
 * Finds moved code before any of it is needed.
 *
 * A full start dies on the first class that the registry has at its old place, and the core's own rebuild needs a
 * start. So the places are put right in the tables first.
 */
function provision_rebuild(array $request) {
  define('MAINTENANCE_MODE', 'update');
  provision_boot_database($request);
  foreach (array('common', 'unicode', 'entity', 'module', 'path', 'install', 'theme', 'file', 'registry', 'menu', 'actions', 'form', 'language') as $name) {
    if (is_file(DRUPAL_ROOT . "/includes/$name.inc")) {
      require_once DRUPAL_ROOT . "/includes/$name.inc";
    }
  }
  provision_empty_caches();
  $GLOBALS['conf'] += provision_stored_variables(array('install_profile'));
  $moved = provision_relocate('provision_relocate_classes');

  drupal_bootstrap(DRUPAL_BOOTSTRAP_SESSION);
  ProvisionBridge::trap();
  require_once DRUPAL_ROOT . '/modules/system/system.module';
  // At once: for others there is never a site without a registry, and the server need not wait for its disk after each of some hundred changes.
  $transaction = provision_transaction();
  if ($moved) {
    db_query('DELETE FROM {registry}');
    db_query('DELETE FROM {registry_file}');
  }
  // Else all files are where they were, and those are read that have another content: core looks itself.
  system_rebuild_module_data();
  system_rebuild_theme_data();
  module_list(TRUE, FALSE);
  registry_rebuild();
  provision_empty_caches();
  // Now it would run the code of modules whose updates have not run.
  variable_set('menu_rebuild_needed', TRUE);
  unset($transaction);
  ProvisionBridge::trap();
  provision_warn_of_missing();
  return array();
}

/** The class registry names files of a module where the module is now. */
function provision_relocate_classes($module, $old, $new) {
  foreach (db_query('SELECT DISTINCT filename FROM {registry} WHERE module = :name', array(':name' => $module))->fetchCol() as $file) {
    if (strpos($file, dirname($old) . '/') === 0) {
      $moved = dirname($new) . substr($file, strlen(dirname($old)));
      db_query('UPDATE {registry} SET filename = :moved WHERE filename = :file', array(':moved' => $moved, ':file' => $file));
    }
  }
}
