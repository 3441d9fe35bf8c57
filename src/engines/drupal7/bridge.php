<?php

/**
 * Drives one site of a Drupal 7 platform from outside.
 *
 * Request: {
 *   "op": "install" | "status" | "inventory" | "login" | "cron" | "cache" | "maintenance" | "updates" | "update" |
 *     "rebuild" | "rename_profile" | "rewrite_paths" | "sanitize" | "renew_keys",
 *   "docroot": absolute path,
 *   "lookup": URL that stands for the site's own name (the core finds the site's directory by it),
 *   "directory": name below sites/ that the core must find,
 *   "url": URL for links, as a visitor types it; it need not lead to the directory (an alias, another port),
 *   … and per op: profile, language, site_name, site_mail, account_name, account_mail, account_password; uid; on;
 *   from, to; pairs; mail, name, values, emptied
 * }
 * Error codes: wrong_site, not_installed, already_installed, not_empty, no_profile, no_account, cron_locked,
 * overridden, incomplete, unreadable, update_failed, exception, died, bad_request.
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

    case 'updates':
      provision_boot_update($request);
      return array('updates' => array_map('provision_public_update', array_values(provision_pending_updates())));

    case 'update':
      return provision_update($request);

    case 'rebuild':
      return provision_rebuild($request);

    case 'rename_profile':
      return provision_rename_profile($request);

    case 'rewrite_paths':
      return provision_rewrite_paths($request);

    case 'renew_keys':
      provision_boot_full($request);
      // Of tokens in forms and links, and of cron.php, which takes a word that everybody knows where there is no key.
      foreach (array('drupal_private_key', 'cron_key') as $name) {
        variable_set($name, bin2hex(random_bytes(32)));
      }
      return array();

    case 'sanitize':
      return provision_sanitize($request);
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
  provision_tap_log();
  $ran = drupal_cron_run();
  ProvisionBridge::trap();
  provision_collect_messages();
  if (!$ran) {
    ProvisionBridge::refuse('cron_locked', 'cron did not run: another run holds its lock');
  }
  return array('last_cron' => (int) variable_get('cron_last', 0));
}

/** From now on errors that go to the site's log are warnings of ours too, whatever module keeps the log, and if none does. */
function provision_tap_log() {
  if (!function_exists('module_implements') || in_array('provision', module_implements('watchdog'), TRUE)) {
    return;
  }
  // The list of who implements a hook, in memory; what is kept of it in the cache is not ours to change.
  $implementations = &drupal_static('module_implements');
  $implementations['watchdog']['provision'] = FALSE;
}

/** Implements hook_watchdog(), for the time of this process. */
function provision_watchdog(array $entry) {
  // WATCHDOG_ERROR, and what is worse.
  if ($entry['severity'] <= 3) {
    $variables = is_array($entry['variables']) ? array_filter($entry['variables'], 'is_scalar') : array();
    ProvisionBridge::warn("$entry[type]: " . strtr($entry['message'], $variables));
  }
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

/**
 * Updates in the order to run them, by name of their function: extension, name, description, number, dependents.
 *
 * A module's code that is not there, or is too new for its schema, has no updates here; that is a warning.
 */
function provision_pending_updates() {
  $start = array();
  foreach (update_get_update_list() as $module => $list) {
    if (isset($list['warning'])) {
      ProvisionBridge::warn($list['warning']);
    }
    if (isset($list['start'])) {
      $start[$module] = $list['start'];
    }
  }
  provision_warn_of_missing();
  $updates = array();
  foreach ($start ? update_resolve_dependencies($start) : array() as $function => $update) {
    if (!$update['allowed']) {
      ProvisionBridge::warn("$function is held back: it needs " . implode(', ', $update['missing_dependencies']));
      continue;
    }
    $updates[$function] = array(
      'extension' => $update['module'],
      'name' => $function,
      'description' => provision_description($function),
      'number' => $update['number'],
      'dependents' => empty($update['reverse_paths']) ? array() : array_keys($update['reverse_paths']),
    );
  }
  return $updates;
}

/** What the comment above a function says first. */
function provision_description($function) {
  if (!function_exists($function)) {
    return NULL;
  }
  $reflection = new ReflectionFunction($function);
  $lines = preg_replace('~^[ \t]*/?\*+/?|\*/$~m', '', (string) $reflection->getDocComment());
  $paragraphs = preg_split('/\n[ \t]*\n/', trim($lines));
  $description = ProvisionBridge::plain($paragraphs[0]);
  return $description === '' ? NULL : $description;
}

function provision_public_update(array $update) {
  return array('extension' => $update['extension'], 'name' => $update['name'], 'description' => $update['description']);
}

function provision_warn_of_missing() {
  foreach (db_query("SELECT name, filename FROM {system} WHERE type = 'module' AND status = 1") as $row) {
    if (!is_file(DRUPAL_ROOT . "/$row->filename")) {
      ProvisionBridge::warn("the module $row->name is enabled, but $row->filename is not there");
    }
  }
}

/** The core's own update loop, without its batch pages. */
function provision_update(array $request) {
  provision_boot_update($request);
  $updates = provision_pending_updates();
  if (!$updates) {
    return array('ran' => array());
  }
  provision_check_requirements();
  provision_tap_log();
  $context = array('results' => array(), 'sandbox' => array(), 'finished' => 1, 'message' => '');
  $ran = array();
  foreach ($updates as $function => $update) {
    $before = $ran ? 'ran before it: ' . implode(', ', array_keys($ran)) : 'no update ran before it';
    ProvisionBridge::during("$function of $update[extension]", array($before));
    $context['sandbox'] = array();
    // update.php first sets the schema to the number before; without that a failure leaves it where it truly is.
    do {
      $context['finished'] = 1;
      update_do_one($update['extension'], $update['number'], $update['dependents'], $context);
    } while ($context['finished'] < 1);
    ProvisionBridge::trap();
    if (!empty($context['results']['#abort'])) {
      $result = $context['results'][$update['extension']][$update['number']];
      ProvisionBridge::refuse('update_failed', isset($result['#abort']['query']) ? $result['#abort']['query'] : "$function did not end well");
    }
    $ran[$function] = provision_public_update($update);
  }
  ProvisionBridge::during('clearing the caches', array('ran before it: ' . implode(', ', array_keys($ran))));
  drupal_flush_all_caches();
  ProvisionBridge::trap();
  ProvisionBridge::during(NULL);
  provision_collect_messages();
  return array('ran' => array_values($ran));
}

/** As update.php, which runs nothing while a module says that it cannot. */
function provision_check_requirements() {
  $unmet = array();
  foreach (array_keys(module_list()) as $module) {
    $requirements = function_exists("{$module}_requirements") ? call_user_func("{$module}_requirements", 'update') : array();
    foreach (is_array($requirements) ? $requirements : array() as $name => $requirement) {
      // REQUIREMENT_ERROR
      if (isset($requirement['severity']) && $requirement['severity'] >= 2) {
        $parts = array_intersect_key($requirement, array_flip(array('title', 'value', 'description'))) + array('title' => $name);
        $unmet[] = ProvisionBridge::plain(implode(': ', array_filter($parts, 'is_scalar')));
      }
    }
  }
  if ($unmet) {
    ProvisionBridge::refuse('update_failed', 'the site does not meet what its code requires: ' . implode('; ', $unmet));
  }
}

/**
 * The install profile is a module like others, named once more by a variable.
 *
 * Without this its own directory is no longer looked into: every module below it counts as missing, and their updates
 * are not listed.
 */
function provision_rename_profile(array $request) {
  provision_boot_database($request);
  list($from, $to) = array($request['from'], $request['to']);
  foreach (array($from, $to) as $profile) {
    if (!preg_match('/^[a-z][a-z0-9_]*$/D', $profile)) {
      ProvisionBridge::refuse('bad_request', "no name of a profile: $profile");
    }
  }
  if (!is_file("profiles/$to/$to.profile")) {
    ProvisionBridge::refuse('no_profile', "this platform has no install profile $to");
  }
  $variables = provision_stored_variables(array('install_profile'));
  $profile = isset($variables['install_profile']) ? $variables['install_profile'] : '';
  $row = db_query("SELECT name FROM {system} WHERE type = 'module' AND name = :from", array(':from' => $from))->fetchField();
  if ($profile === $to && $row === FALSE) {
    return array('renamed' => FALSE);
  }
  if ($profile !== $from && $profile !== $to) {
    ProvisionBridge::refuse('no_profile', "the site's install profile is $profile, neither $from nor $to");
  }

  $transaction = db_transaction();
  try {
    if ($row !== FALSE) {
      // What a list of files has found of the new name is no installation; the old row has the schema version.
      db_query("DELETE FROM {system} WHERE type = 'module' AND (name = :to OR filename = :file)", array(':to' => $to, ':file' => "profiles/$to/$to.profile"));
      db_query("UPDATE {system} SET name = :to, filename = :file WHERE type = 'module' AND name = :from", array(
        ':to' => $to,
        ':file' => "profiles/$to/$to.profile",
        ':from' => $from,
      ));
    }
    db_query("UPDATE {variable} SET value = :value WHERE name = 'install_profile'", array(':value' => serialize($to)));
  }
  catch (Throwable $problem) {
    $transaction->rollback();
    throw $problem;
  }
  unset($transaction);
  provision_empty_caches();
  return array('renamed' => TRUE);
}

/** All that is cached, but the forms that somebody may be filling in. Needs no module's code. */
function provision_empty_caches() {
  foreach (db_find_tables('cache%') as $table) {
    if (preg_match('/(cache(?:_(?!form$)\w+)?)$/', $table, $match) && db_table_exists($match[1])) {
      // By its bin: it may be kept elsewhere than in the table.
      cache_clear_all('*', $match[1], TRUE);
    }
  }
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
  provision_relocate();

  drupal_bootstrap(DRUPAL_BOOTSTRAP_SESSION);
  ProvisionBridge::trap();
  require_once DRUPAL_ROOT . '/modules/system/system.module';
  db_query('DELETE FROM {registry}');
  db_query('DELETE FROM {registry_file}');
  system_rebuild_module_data();
  system_rebuild_theme_data();
  module_list(TRUE, FALSE);
  registry_rebuild();
  provision_empty_caches();
  // Now it would run the code of modules whose updates have not run.
  variable_set('menu_rebuild_needed', TRUE);
  ProvisionBridge::trap();
  provision_warn_of_missing();
  return array();
}

/** {system} and the class registry name the files of enabled modules where these are now. */
function provision_relocate() {
  $found = drupal_system_listing('/^[a-zA-Z_\x7f-\xff][a-zA-Z0-9_\x7f-\xff]*\.module$/', 'modules', 'name', 0);
  foreach (db_query("SELECT name, filename FROM {system} WHERE type = 'module' AND status = 1")->fetchAllKeyed() as $name => $old) {
    $profile = "profiles/$name/$name.profile";
    $new = isset($found[$name]) ? $found[$name]->uri : (is_file($profile) ? $profile : $old);
    if ($new === $old) {
      continue;
    }
    db_query("DELETE FROM {system} WHERE filename = :new", array(':new' => $new));
    db_query("UPDATE {system} SET filename = :new WHERE filename = :old", array(':new' => $new, ':old' => $old));
    $registered = db_query('SELECT DISTINCT filename FROM {registry} WHERE module = :name', array(':name' => $name))->fetchCol();
    foreach ($registered as $file) {
      if (strpos($file, dirname($old) . '/') === 0) {
        $moved = dirname($new) . substr($file, strlen(dirname($old)));
        db_query('UPDATE {registry} SET filename = :moved WHERE filename = :file', array(':moved' => $moved, ':file' => $file));
      }
    }
  }
}

/** Tables that the core fills by itself, or that tell of the past; the others may hold what people wrote. */
function provision_content_tables(array $schema) {
  $own = '/^(cache(_.*)?|sessions|semaphore|flood|batch|queue|watchdog|accesslog|history|system|registry|registry_file|menu_router|search_(dataset|index|total|node_links)|locales_source)$/';
  foreach ($schema as $table => $definition) {
    if (preg_match($own, $table) || !db_table_exists($table)) {
      unset($schema[$table]);
      continue;
    }
    foreach (array_keys($definition['fields']) as $column) {
      // A module's code may be ahead of its tables.
      if (!db_field_exists($table, $column)) {
        unset($schema[$table]['fields'][$column]);
      }
    }
  }
  return $schema;
}

function provision_rewrite_paths(array $request) {
  provision_boot_full($request);
  require_once dirname(__DIR__) . '/rewrite.php';
  $rewrite = new ProvisionRewrite($request['pairs']);
  $schema = provision_content_tables(drupal_get_schema(NULL, TRUE));
  $driver = $GLOBALS['databases']['default']['default']['driver'];
  $transaction = db_transaction();
  try {
    $result = $rewrite->tables($schema, $driver, 'db_query', array('variable' => 'name'));
  }
  catch (Throwable $problem) {
    $transaction->rollback();
    throw $problem;
  }
  unset($transaction);
  if ($result['changed']) {
    provision_empty_caches();
    drupal_flush_all_caches();
    ProvisionBridge::trap();
    provision_collect_messages();
  }
  return $result;
}

function provision_sanitize(array $request) {
  provision_boot_database($request);
  $driver = $GLOBALS['databases']['default']['default']['driver'];
  foreach (array('mail', 'name') as $rule) {
    if (substr_count($request[$rule], '%uid') !== 1) {
      ProvisionBridge::refuse('bad_request', "the rule $rule must hold %uid once: $request[$rule]");
    }
  }
  $mail = provision_with_uid($request['mail'], $driver);
  $name = provision_with_uid($request['name'], $driver);
  // No password has this hash.
  $changes = "mail = $mail[sql], init = $mail[sql], pass = '!'";
  $differs = "(mail <> $mail[sql] OR init <> $mail[sql] OR pass <> '!')";

  $transaction = db_transaction();
  try {
    $accounts = (int) db_query("SELECT COUNT(*) FROM {users} WHERE uid > 0 AND ($differs OR (uid > 1 AND name <> $name[sql]))", $mail['arguments'] + $name['arguments'])->fetchField();
    // In two passes, because a name may be in use for another account, and no two may be the same for a moment.
    $passing = provision_with_uid(bin2hex(random_bytes(8)) . '%uid', $driver);
    db_query("UPDATE {users} SET name = $passing[sql] WHERE uid > 1 AND name <> $name[sql]", $passing['arguments'] + $name['arguments']);
    db_query("UPDATE {users} SET name = $name[sql] WHERE uid > 1 AND name <> $name[sql]", $name['arguments']);
    db_query("UPDATE {users} SET $changes WHERE uid > 0 AND $differs", $mail['arguments']);
    foreach (array_merge(array('sessions', 'watchdog', 'flood', 'accesslog', 'authmap'), $request['emptied']) as $table) {
      if (preg_match('/^\w+$/D', $table) && db_table_exists($table)) {
        db_query("DELETE FROM {{$table}}");
      }
    }
    if (db_table_exists('comment')) {
      // Of visitors without an account.
      db_query("UPDATE {comment} SET mail = '', homepage = '', hostname = ''");
    }
    $values = provision_empty_variables($request['values'], $driver);
  }
  catch (Throwable $problem) {
    $transaction->rollback();
    throw $problem;
  }
  unset($transaction);
  provision_empty_caches();
  return array('accounts' => $accounts, 'values' => $values);
}

/** An SQL expression for a rule, and its arguments. */
function provision_with_uid($rule, $driver) {
  static $count = 0;
  $count++;
  list($before, $after) = explode('%uid', $rule);
  return array(
    'sql' => $driver === 'mysql' ? "CONCAT(:before$count, uid, :after$count)" : "(:before$count || CAST(uid AS VARCHAR(20)) || :after$count)",
    'arguments' => array(":before$count" => $before, ":after$count" => $after),
  );
}

/** Variables of such names are deleted, which is their default; parts of others are emptied. Answers with how many. */
function provision_empty_variables(array $patterns, $driver) {
  $matches = function ($name) use ($patterns) {
    foreach ($patterns as $pattern) {
      if (fnmatch(strtolower($pattern), strtolower($name))) {
        return TRUE;
      }
    }
    return FALSE;
  };
  $count = 0;
  $empty = function ($value) use (&$empty, &$count, $matches) {
    foreach ($value as $key => $item) {
      if (is_string($key) && $matches($key) && is_scalar($item) && $item !== '') {
        $value[$key] = '';
        $count++;
      }
      elseif (is_array($item)) {
        $value[$key] = $empty($item);
      }
    }
    return $value;
  };
  foreach (db_query('SELECT name, value FROM {variable}')->fetchAllKeyed() as $name => $raw) {
    $raw = is_resource($raw) ? stream_get_contents($raw) : $raw;
    if ($matches($name)) {
      db_query('DELETE FROM {variable} WHERE name = :name', array(':name' => $name));
      $count++;
      continue;
    }
    $value = @unserialize($raw, array('allowed_classes' => FALSE));
    $before = $count;
    $value = is_array($value) ? $empty($value) : $value;
    if ($count > $before) {
      $bytes = $driver === 'pgsql' ? "DECODE(:value, 'hex')" : ':value';
      $text = serialize($value);
      db_query("UPDATE {variable} SET value = $bytes WHERE name = :name", array(':value' => $driver === 'pgsql' ? bin2hex($text) : $text, ':name' => $name));
    }
  }
  foreach (array_keys($GLOBALS['conf']) as $name) {
    if ($matches($name)) {
      ProvisionBridge::warn("settings.php sets $name itself");
    }
  }
  return $count;
}
