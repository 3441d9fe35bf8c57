<?php

/**
 * Drives one site of a Backdrop platform from outside.
 *
 * Request and error codes: as in drupal7/bridge.php. Backdrop is Drupal 7 with other prefixes, a core/ directory, and
 * configuration in JSON files beside the database: what Drupal 7 has in the table {variable} is here in config/active
 * (what an administrator decides) or in the table {state} (what the site itself remembers).
 */

require dirname(__DIR__) . '/procedural.php';

$provision_request = ProvisionBridge::open();
define('BACKDROP_ROOT', $provision_request['docroot']);
provision_main($provision_request);

/** Backdrop's function of that name without its prefix. */
function provision_core($name) {
  return "backdrop_$name";
}

function provision_version() {
  return BACKDROP_VERSION;
}

function provision_profile_file($profile) {
  return is_file("profiles/$profile/$profile.profile") ? "profiles/$profile/$profile.profile" : "core/profiles/$profile/$profile.profile";
}

/**
 * Loads settings.php of the right site.
 *
 * Backdrop looks into sites/ only when sites/sites.php names at least one site, and takes the settings.php in the docroot
 * for all others: everything would then happen to another site. So it is asked, by the site's own name, and keeps its answer.
 *
 * Without configuration or an empty database the bootstrap leads to install.php, and ends PHP with 0. So settings are
 * read before it begins; provision_boot_configuration() comes later.
 */
function provision_boot_settings(array $request) {
  ProvisionBridge::pretendRequest($request['lookup'], BACKDROP_ROOT);
  require_once BACKDROP_ROOT . '/core/includes/bootstrap.inc';
  provision_check_site($request);
  if (!is_file("sites/$request[directory]/settings.php") || !is_readable("sites/$request[directory]/settings.php")) {
    ProvisionBridge::refuse('unreadable', "sites/$request[directory]/settings.php cannot be read by the user that PHP runs as");
  }
  if ($request['op'] !== 'install') {
    ProvisionBridge::pretendRequest($request['url'], BACKDROP_ROOT);
  }
  backdrop_settings_initialize();
  require_once BACKDROP_ROOT . '/core/includes/config.inc';
  ProvisionBridge::trap();
  provision_check_site($request);
}

/** The bootstrap's first phase. It forgets the settings, and does not read the file again. */
function provision_boot_configuration() {
  $settings = $GLOBALS['settings'];
  backdrop_bootstrap(BACKDROP_BOOTSTRAP_CONFIGURATION);
  $GLOBALS['settings'] = $settings;
  ProvisionBridge::trap();
}

/** Stored state as it is, from a database that may be empty or half made. */
function provision_stored_state(array $names) {
  require_once BACKDROP_ROOT . '/core/includes/database/database.inc';
  $state = array();
  if (db_table_exists('state')) {
    foreach ($names as $name) {
      $value = db_query('SELECT value FROM {state} WHERE name = :name', array(':name' => $name))->fetchField();
      if ($value !== FALSE && $value !== NULL) {
        $state[$name] = unserialize($value, array('allowed_classes' => FALSE));
      }
    }
  }
  return $state;
}

/** A value of the site's active configuration, as the core gives it: what settings.php says wins. */
function provision_configured($name, $key) {
  $override = isset($GLOBALS['config'][$name][$key]) ? $GLOBALS['config'][$name][$key] : NULL;
  $data = $override === NULL ? config_get_config_storage('active')->read($name) : array($key => $override);
  return is_array($data) && isset($data[$key]) ? $data[$key] : NULL;
}

/** What the core itself takes where settings.php says none: made of the account. */
function provision_salt() {
  require_once BACKDROP_ROOT . '/core/includes/common.inc';
  return backdrop_get_hash_salt();
}

/** What a site that somebody else made says of itself. */
function provision_found_site(array $request) {
  $state = provision_stored_state(array('install_task'));
  $class = settings_get('config_active_class', 'ConfigFileStorage');
  if ($class !== 'ConfigFileStorage') {
    return array('installed' => TRUE, 'stored_configuration' => TRUE);
  }
  $core = function ($key) {
    return provision_configured('system.core', $key);
  };
  $configuration = array();
  foreach (array('active', 'staging') as $type) {
    $path = provision_found_directory(config_get_config_directory($type));
    if ($path !== NULL) {
      $configuration[$type] = $path;
    }
  }
  $files = $core('file_public_path');
  return array(
    'installed' => isset($state['install_task']) && $state['install_task'] === 'done' && $core('site_name') !== NULL,
    'profile' => provision_found_text(provision_profile()),
    'language' => provision_found_text($core('language_default')),
    'site_name' => provision_found_text($core('site_name')),
    'site_mail' => provision_found_text($core('site_mail')),
    'files' => provision_found_directory($files ? $files : "sites/$request[directory]/files"),
    'private' => provision_found_directory($core('file_private_path')),
    'configuration' => (object) $configuration,
    'identity' => provision_found_identity(),
    'own' => array_merge(
      provision_found_own('$settings', array_keys((array) $GLOBALS['settings']), array(
        'hash_salt',
        'update_free_access',
        'backdrop_drupal_compatibility',
        'trusted_host_patterns',
        'allow_authorize_operations',
        'memcache_key_prefix',
        'cache_prefix',
        // Of core's own settings.php.
        '404_fast_paths_exclude',
        '404_fast_paths',
        '404_fast_html',
      )),
      provision_found_own('$config', array_keys((array) $GLOBALS['config']), array())
    ),
  );
}

/** A complete installation, of which no module is loaded yet. */
function provision_boot_database(array $request) {
  provision_boot_settings($request);
  if (!provision_has_database()) {
    ProvisionBridge::refuse('not_installed', 'settings.php names no database, or its file is not there');
  }
  $state = provision_stored_state(array('install_task'));
  if (!isset($state['install_task']) || $state['install_task'] !== 'done') {
    ProvisionBridge::refuse('not_installed', 'the database holds no complete installation');
  }
  if (!config_get_config_storage('active')->exists('system.core')) {
    ProvisionBridge::refuse('no_configuration', 'the database is there, but the active configuration is not: ' . config_get_config_directory('active'));
  }
  // Writing configuration needs it.
  require_once BACKDROP_ROOT . '/core/includes/common.inc';
  require_once BACKDROP_ROOT . '/core/includes/cache.inc';
  foreach (settings_get('cache_backends', array()) as $include) {
    require_once BACKDROP_ROOT . '/' . $include;
  }
}

/** A site that works: all modules loaded, hook_init() run. */
function provision_boot_full(array $request) {
  provision_boot_database($request);
  provision_boot_configuration();
  backdrop_bootstrap(BACKDROP_BOOTSTRAP_FULL);
  ProvisionBridge::trap();
}

/** As update.php: all modules and their updates loaded, no hook_init(), which may want what an update has yet to make. */
function provision_boot_update(array $request) {
  define('MAINTENANCE_MODE', 'update');
  provision_boot_full($request);
  require_once BACKDROP_ROOT . '/core/includes/install.inc';
  require_once BACKDROP_ROOT . '/core/includes/update.inc';
  backdrop_maintenance_theme();
  backdrop_load_updates();
  // Never update_fix_compatibility(): it disables every module that is not found on disk, without a word.
}

function provision_install(array $request) {
  $profile = $request['profile'];
  provision_check_profile($profile);
  // Not a part of the installer's form, which would look at it.
  if (!filter_var($request['site_mail'], FILTER_VALIDATE_EMAIL)) {
    ProvisionBridge::refuse('exception', "The e-mail address $request[site_mail] is not valid.");
  }

  define('MAINTENANCE_MODE', 'install');
  provision_boot_settings($request);
  if (empty($GLOBALS['databases']['default']['default'])) {
    ProvisionBridge::refuse('exception', "sites/$request[directory]/settings.php names no database");
  }
  provision_require_empty_site();
  provision_boot_configuration();
  $base_url = $GLOBALS['base_url'];

  require_once BACKDROP_ROOT . '/core/includes/install.core.inc';
  install_backdrop(array(
    'parameters' => array('profile' => $profile, 'langcode' => $request['language']),
    'server' => $_SERVER,
    'forms' => array(
      'install_configure_form' => array(
        'site_name' => $request['site_name'],
        'account' => array(
          'name' => $request['account_name'],
          'mail' => $request['account_mail'],
          // Plain: with two, as in Drupal 7, the account has no password.
          'pass' => $request['account_password'],
        ),
        'date_default_timezone' => 'UTC',
        // NULL leaves a check box empty; FALSE would be refused as an invalid choice.
        'update_status_module' => array(1 => NULL, 2 => NULL),
        'clean_url' => 1,
        'op' => 'Save and continue',
      ),
    ),
  ));
  ProvisionBridge::trap();
  provision_check_site($request);
  provision_collect_messages();
  if (state_get('install_task') !== 'done') {
    ProvisionBridge::refuse('incomplete', 'the installer returned, but its last task was ' . var_export(state_get('install_task'), TRUE));
  }
  config_set('system.core', 'site_mail', $request['site_mail']);
  $result = array('profile' => provision_profile(), 'login' => NULL);
  // Links of another language may have a prefix, which only a fully started site knows.
  if ($request['language'] === 'en' && $base_url === rtrim($request['lookup'], '/')) {
    // Not set by settings.php, so it came from the request; a visitor's may have a port.
    $GLOBALS['base_url'] = $request['url'];
    $result['login'] = user_pass_reset_url(user_load(1)) . '/login';
  }
  return $result;
}

/** The installer goes on with what an interrupted one left; configuration of another site would become this one's. */
function provision_require_empty_site() {
  $state = provision_stored_state(array('install_task'));
  if (isset($state['install_task']) && $state['install_task'] === 'done') {
    ProvisionBridge::refuse('already_installed', 'the database holds a complete installation');
  }
  foreach (array('state', 'system', 'users') as $table) {
    if (db_table_exists($table)) {
      ProvisionBridge::refuse('not_empty', "the database is not empty: it has a table $table, left by an installation that did not end");
    }
  }
  if (config_get_config_storage('active')->listAll()) {
    ProvisionBridge::refuse('not_empty', 'the directory of the active configuration is not empty: ' . config_get_config_directory('active'));
  }
}

function provision_status(array $request) {
  provision_boot_settings($request);
  $status = array(
    'version' => BACKDROP_VERSION,
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
  $state = provision_stored_state(array('install_task', 'maintenance_mode', 'cron_last'));
  $status['installed'] = isset($state['install_task']) && $state['install_task'] === 'done';
  foreach (array('profile' => 'install_profile', 'site_name' => 'site_name') as $name => $key) {
    $value = provision_configured('system.core', $key);
    $status[$name] = $status['installed'] && $value !== NULL ? (string) $value : NULL;
  }
  $status['maintenance'] = !empty($state['maintenance_mode']);
  $status['last_cron'] = isset($state['cron_last']) ? (int) $state['cron_last'] : 0;
  return $status;
}

function provision_maintenance(array $request) {
  provision_boot_full($request);
  state_set('maintenance_mode', !empty($request['on']));
  provision_forget_pages();
  return array('maintenance' => (bool) state_get('maintenance_mode', FALSE));
}

function provision_set_key($name, $key) {
  state_set($name, $key);
}

function provision_last_cron() {
  return (int) state_get('cron_last', 0);
}

/** The install profile that the site says it has. */
function provision_profile() {
  return (string) provision_configured('system.core', 'install_profile');
}

/** In the active configuration, and in what waits to become it. */
function provision_set_profile($profile) {
  foreach (array('active', 'staging') as $type) {
    $storage = config_get_config_storage($type);
    $data = $storage->read('system.core');
    if (is_array($data) && isset($data['install_profile'])) {
      $data['install_profile'] = $profile;
      $storage->write('system.core', $data);
    }
  }
}

/** Finds moved code before any of it is needed. */
function provision_rebuild(array $request) {
  define('MAINTENANCE_MODE', 'update');
  provision_boot_database($request);
  foreach (array('common', 'unicode', 'module', 'path', 'install', 'theme', 'file', 'menu', 'actions', 'form', 'language') as $name) {
    if (is_file(BACKDROP_ROOT . "/core/includes/$name.inc")) {
      require_once BACKDROP_ROOT . "/core/includes/$name.inc";
    }
  }
  provision_empty_caches();
  provision_relocate();

  provision_boot_configuration();
  backdrop_bootstrap(BACKDROP_BOOTSTRAP_SESSION);
  ProvisionBridge::trap();
  require_once BACKDROP_ROOT . '/core/modules/system/system.module';
  // The server need not wait for its disk after each change.
  $transaction = provision_transaction();
  // Classes have no table here: modules name their own, and where they lie is asked of {system}.
  system_rebuild_module_data();
  system_rebuild_theme_data();
  provision_empty_caches();
  // Now it would run the code of modules whose updates have not run.
  state_set('menu_rebuild_needed', TRUE);
  unset($transaction);
  ProvisionBridge::trap();
  provision_warn_of_missing();
  return array();
}

/** Names of rows that are better known than their tables. */
function provision_named_rows() {
  return array('state' => 'name', 'variable' => 'name');
}

/** Rewrites the active configuration, whole or not at all. */
function provision_rewrite_more($rewrite) {
  $storage = config_get_config_storage('active');
  $changed = $before = array();
  try {
    foreach ($storage->listAll() as $name) {
      $data = $storage->read($name);
      $places = $left = 0;
      $new = $rewrite->value($data, $places, $left);
      if ($places > 0) {
        $before[$name] = $data;
        $storage->write($name, $new);
        $changed[] = array('where' => "config $name", 'count' => $places);
      }
    }
  }
  catch (Throwable $problem) {
    foreach ($before as $name => $data) {
      $storage->write($name, $data);
    }
    throw $problem;
  }
  return array('changed' => $changed, 'left' => array());
}

/** Stored values whose names match, emptied; answers with how many. */
function provision_empty_values(array $patterns) {
  $count = provision_empty_rows('state', $patterns);
  if (db_table_exists('variable')) {
    $count += provision_empty_rows('variable', $patterns);
  }
  $storage = config_get_config_storage('active');
  foreach ($storage->listAll() as $name) {
    $before = $count;
    $data = provision_emptied((array) $storage->read($name), $patterns, $count);
    if ($count > $before) {
      $storage->write($name, $data);
    }
  }
  foreach (array('config', 'settings') as $where) {
    $ignored = 0;
    if (!empty($GLOBALS[$where]) && provision_emptied($GLOBALS[$where], $patterns, $ignored) !== $GLOBALS[$where]) {
      ProvisionBridge::warn("settings.php sets values in \$$where itself that look like keys");
    }
  }
  return $count;
}
