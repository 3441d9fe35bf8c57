<?php

/**
 * Drives one site of a platform with Drupal 8 or later from outside.
 *
 * Request: {
 *   "op": "install" | "status" | "found" | "inventory" | "login" | "cron" | "cache" | "maintenance" | "updates" | "update" |
 *     "config_import" | "deploy" | "rebuild" | "rename_profile" | "rewrite_paths" | "sanitize" | "renew_keys" | "log",
 *   "docroot": absolute path,
 *   "lookup": URL that stands for the site's own name (the core finds the site's directory by it),
 *   "directory": name below sites/ that the core must find,
 *   "url": URL for links, as a visitor types it; it need not lead to the directory (an alias, another port),
 *   … and per op: profile, language, existing_config, site_name, site_mail, account_name, account_mail, account_password;
 *   uid; on; from, to; pairs; mail, name, values, emptied; after
 * }
 * Error codes: wrong_site, not_installed, already_installed, not_empty, no_profile, no_account, cron_locked,
 * incomplete, unreadable, bad_settings, old_php, update_failed, import_failed, exception, died, bad_request.
 *
 * What 9.3 brought (update.update_hook_registry) older cores have as functions; both are spoken, only 10 was run.
 */

require dirname(__DIR__) . '/bridge.php';
require dirname(__DIR__) . '/found.php';

use Drupal\Core\Database\Database;
use Drupal\Core\DrupalKernel;
use Drupal\Core\Site\Settings;
use Drupal\Core\Update\UpdateKernel;
use Symfony\Component\HttpFoundation\Request;

$provision_request = ProvisionBridge::open();
$provision_root = $provision_request['docroot'];
if (!chdir($provision_root)) {
  ProvisionBridge::refuse('bad_request', "no such directory: $provision_root");
}
provision_check_php($provision_root);

// Caught here and not by an exception handler: the core replaces handlers while it starts.
try {
  // At file scope: autoload.php and what it loads may count on being among the globals.
  $provision_loader = require "$provision_root/autoload.php";
  ProvisionBridge::trap();
  ProvisionBridge::answer(provision_run($provision_request));
}
catch (Throwable $problem) {
  ProvisionBridge::onException($problem);
}

/** Core of a later PHP does not even parse; what Composer says of it is an exit. */
function provision_check_php($root) {
  $text = (string) @file_get_contents("$root/core/lib/Drupal.php");
  if (preg_match("/const MINIMUM_PHP = '([0-9.]+)'/", $text, $needed) && version_compare(PHP_VERSION, $needed[1], '<')) {
    preg_match("/const VERSION = '([^']+)'/", $text, $version);
    ProvisionBridge::refuse('old_php', "Drupal $version[1] needs PHP $needed[1], and " . PHP_BINARY . ' is ' . PHP_VERSION);
  }
}

function provision_run(array $request) {
  switch ($request['op']) {
    case 'install':
      return provision_install($request);

    case 'status':
      return provision_status($request);

    case 'found':
      return provision_found($request);

    case 'inventory':
      return provision_inventory($request);

    case 'login':
      return provision_login($request);

    case 'cron':
      return provision_cron($request);

    case 'cache':
      return provision_cache($request);

    case 'maintenance':
      provision_boot($request);
      \Drupal::state()->set('system.maintenance_mode', !empty($request['on']));
      return array('maintenance' => (bool) \Drupal::state()->get('system.maintenance_mode'));

    case 'updates':
      provision_boot_update($request);
      return array('updates' => array_map('provision_public_update', array_values(provision_pending_updates())));

    case 'update':
      return provision_update($request);

    case 'config_import':
      return provision_config_import($request);

    case 'deploy':
      return provision_deploy($request);

    case 'rebuild':
      return provision_rebuild($request);

    case 'rename_profile':
      return provision_rename_profile($request);

    case 'rewrite_paths':
      return provision_rewrite_paths($request);

    case 'sanitize':
      return provision_sanitize($request);

    case 'renew_keys':
      provision_boot($request);
      provision_renew_keys();
      return array();

    case 'log':
      return provision_log($request);
  }
  ProvisionBridge::refuse('bad_request', "no such op: $request[op]");
}

/** The site's directory is found and its settings.php read, once; nothing else is started. Answers with the site's path. */
function provision_settings(array $request) {
  global $provision_loader, $provision_root;
  ProvisionBridge::pretendRequest($request['lookup'], $provision_root);
  DrupalKernel::bootEnvironment($provision_root);
  ProvisionBridge::trap();
  $path = DrupalKernel::findSitePath(Request::createFromGlobals(), TRUE, $provision_root);
  if ($path !== "sites/$request[directory]") {
    $why = is_file("$provision_root/sites/sites.php") ? '' : ' (there is no sites/sites.php, and without it core knows no other)';
    ProvisionBridge::refuse('wrong_site', "the core resolves $request[lookup] to $path instead of sites/$request[directory]$why");
  }
  // Core would go on without a warning, as a site without a database.
  if (!is_file("$path/settings.php") || !is_readable("$path/settings.php")) {
    ProvisionBridge::refuse('unreadable', "$path/settings.php cannot be read by the user that PHP runs as");
  }
  Settings::initialize($provision_root, $path, $provision_loader);
  ProvisionBridge::trap();
  return $path;
}

/** The database of settings.php; NULL when it names none. SQLite's driver would make the file by looking for it. */
function provision_database() {
  $info = provision_connection_info();
  return $info && ($info['driver'] !== 'sqlite' || is_file($info['database'])) ? Database::getConnection() : NULL;
}

function provision_connection_info() {
  $info = Database::getConnectionInfo();
  return empty($info['default']['driver']) ? NULL : $info['default'];
}

/** A stored value as it is, from a database that may be empty or half made: no kernel, no cache. */
function provision_stored($database, $table, $collection, $name) {
  if (!$database->schema()->tableExists($table)) {
    return NULL;
  }
  $column = $table === 'config' ? 'data' : 'value';
  $value = $database->query("SELECT $column FROM {{$table}} WHERE collection = :collection AND name = :name", array(
    ':collection' => $collection,
    ':name' => $name,
  ))->fetchField();
  return provision_unserialized($value);
}

function provision_unserialized($value) {
  // PostgreSQL may hand out bytes as a stream.
  $text = is_resource($value) ? stream_get_contents($value) : $value;
  return is_string($text) ? @unserialize($text, array('allowed_classes' => FALSE)) : NULL;
}

/** What the settings.php of a site says that somebody else made, and the state of its database. */
function provision_found(array $request) {
  provision_tell_account($request['directory']);
  try {
    provision_settings($request);
  }
  catch (Throwable $problem) {
    provision_bad_settings($problem);
  }
  $databases = array();
  foreach (method_exists(Database::class, 'getAllConnectionInfo') ? Database::getAllConnectionInfo() : array('default' => Database::getConnectionInfo()) as $key => $targets) {
    $databases[$key] = (array) $targets;
  }
  $found = provision_found_database($databases);
  $found += array('problem' => NULL, 'names' => provision_found_names($request['directory']));
  $site = array();
  try {
    $database = provision_database();
    if ($database !== NULL) {
      $identity = provision_identity_query($found['database']['driver']);
      $extensions = (array) provision_stored($database, 'config', '', 'core.extension');
      $system = (array) provision_stored($database, 'config', '', 'system.site') + array('langcode' => 'en', 'name' => NULL, 'mail' => NULL);
      $site = array(
        'installed' => provision_stored($database, 'key_value', 'state', 'install_task') === 'done',
        'profile' => isset($extensions['profile']) ? provision_found_text($extensions['profile']) : NULL,
        'language' => provision_found_text(isset($system['default_langcode']) ? $system['default_langcode'] : $system['langcode']),
        'site_name' => provision_found_text($system['name']),
        'site_mail' => provision_found_text($system['mail']),
        'identity' => $identity === NULL ? NULL : (string) $database->query($identity)->fetchField(),
      );
    }
    elseif ($found['database'] !== NULL) {
      $found['problem'] = 'there is no file ' . $found['database']['database'];
    }
  }
  catch (Throwable $problem) {
    $found['problem'] = ProvisionBridge::plain($problem->getMessage());
  }
  $sync = provision_found_directory(Settings::get('config_sync_directory'));
  $files = Settings::get('file_public_path');
  $site += array(
    'files' => provision_found_directory($files ? $files : "sites/$request[directory]/files"),
    'private' => provision_found_directory(Settings::get('file_private_path')),
    'configuration' => (object) ($sync === NULL ? array() : array('sync' => $sync)),
    'hash_salt' => (string) Settings::get('hash_salt'),
    'own' => array_merge(
      provision_found_own('$settings', array_keys(method_exists(Settings::class, 'getAll') ? Settings::getAll() : array()), array(
        'hash_salt',
        'update_free_access',
        'deployment_identifier',
        'cache_prefix',
        'trusted_host_patterns',
        'config_sync_directory',
        'file_public_path',
        'file_private_path',
        'file_temp_path',
        'file_chmod_directory',
        'allow_authorize_operations',
        'skip_permissions_hardening',
        'file_scan_ignore_directories',
        'entity_update_batch_size',
        'entity_update_backup',
        'migrate_node_migrate_type_classic',
        'state_cache',
        'container_yamls',
      )),
      provision_found_own('$config', array_keys(isset($GLOBALS['config']) ? $GLOBALS['config'] : array()), array())
    ),
  );
  return $found + $site + provision_nothing_found();
}

/** What the site wrote into its log after an entry; no module is loaded for it. */
function provision_log(array $request) {
  $database = provision_installed($request);
  if (!$database->schema()->tableExists('watchdog')) {
    return array('kept' => FALSE);
  }
  $last = (int) $database->query('SELECT MAX(wid) FROM {watchdog}')->fetchField();
  $rows = $database->query('SELECT wid, type, message, variables, severity FROM {watchdog} WHERE wid > :after ORDER BY wid DESC LIMIT 1000', array(
    ':after' => (int) $request['after'],
  ));
  $entries = array();
  foreach ($rows as $row) {
    $entries[] = ProvisionBridge::logEntry((array) $row);
  }
  return array('kept' => TRUE, 'last' => $last, 'entries' => $entries);
}

/** A complete installation, of which no code but core's is loaded yet. Answers with its database. */
function provision_installed(array $request) {
  provision_settings($request);
  $database = provision_database();
  if ($database === NULL) {
    ProvisionBridge::refuse('not_installed', 'settings.php names no database, or its file is not there');
  }
  // Not by the table of sessions: core makes that one when it first needs it.
  if (provision_stored($database, 'key_value', 'state', 'install_task') !== 'done') {
    ProvisionBridge::refuse('not_installed', 'the database holds no complete installation');
  }
  return $database;
}

/**
 * A site that works, all modules loaded, as if visitors' URL had been asked for.
 *
 * Not createFromRequest(): it would look for the directory again, by that URL.
 */
function provision_boot(array $request, $class = DrupalKernel::class, $fresh = FALSE) {
  global $provision_loader, $provision_root;
  provision_installed($request);
  ProvisionBridge::pretendRequest($request['url'], $provision_root);
  $http = Request::createFromGlobals();
  $kernel = new $class('prod', $provision_loader, $class === DrupalKernel::class, $provision_root);
  $kernel->setSitePath("sites/$request[directory]");
  if ($fresh) {
    // Before it starts, so that the old one is not even loaded: it may name code that is gone.
    $kernel->invalidateContainer();
  }
  $kernel->boot();
  // Makes this the current request, too; without one, links have no host.
  $kernel->preHandle($http);
  ProvisionBridge::trap();
  return $kernel;
}

/** As update.php: a container of its own that no cache has seen, all modules and their updates loaded. */
function provision_boot_update(array $request) {
  $kernel = provision_boot($request, UpdateKernel::class);
  require_once 'core/includes/install.inc';
  require_once 'core/includes/update.inc';
  drupal_load_updates();
  // Never update_fix_compatibility(), which 8 still has: it disables what is not found on disk, without a word.
  return $kernel;
}

/** What the core would have shown on the next page. */
function provision_collect_messages($except = NULL) {
  foreach (\Drupal::messenger()->deleteAll() as $type => $messages) {
    foreach ($type === 'status' ? array() : $messages as $message) {
      $text = ProvisionBridge::plain($message);
      if ($except === NULL || strpos($text, $except) === FALSE) {
        ProvisionBridge::warn($text);
      }
    }
  }
}

/**
 * Everything that modules log as an error from now on: exceptions of cron and of updates end there alone.
 *
 * Core's channels hand their entries on to what implements PSR's interface, whichever of its versions.
 */
function provision_listen() {
  $log = new class() implements \Psr\Log\LoggerInterface {
    use \Psr\Log\LoggerTrait;

    public $entries = array();

    public function log($level, $message, array $context = array()): void {
      // 3 is an error (RFC 5424); more is less.
      if (!is_int($level) || $level > 3) {
        return;
      }
      $values = \Drupal::service('logger.log_message_parser')->parseMessagePlaceholders($message, $context);
      $text = strtr((string) $message, $values);
      $this->entries[] = (isset($context['channel']) ? "$context[channel]: " : '') . $text;
    }

  };
  \Drupal::service('logger.factory')->addLogger($log);
  return $log;
}

function provision_warn_of_log($log) {
  foreach ($log->entries as $entry) {
    ProvisionBridge::warn($entry);
  }
}

function provision_install(array $request) {
  global $provision_loader, $provision_root;
  $path = provision_settings($request);
  $profile = $request['profile'];
  $existing = !empty($request['existing_config']);
  if ($existing) {
    $profile = provision_configured_profile();
  }
  $profiles = provision_profiles();
  if (!isset($profiles[$profile])) {
    ProvisionBridge::refuse('no_profile', "this platform has no install profile $profile; it has: " . implode(', ', array_keys($profiles)));
  }
  $info = provision_connection_info();
  if ($info === NULL) {
    ProvisionBridge::refuse('exception', "$path/settings.php names no database");
  }
  $sync = Settings::get('config_sync_directory');
  if (!is_string($sync) || !is_dir($sync)) {
    // Core would go through its form of settings, and write what it makes of it to the end of settings.php.
    ProvisionBridge::refuse('exception', "config_sync_directory is no directory: " . var_export($sync, TRUE));
  }
  provision_require_empty_database($info);
  require_once 'core/includes/install.core.inc';

  install_drupal($provision_loader, array(
    'interactive' => FALSE,
    'site_path' => $path,
    'parameters' => array('profile' => $profile, 'langcode' => $request['language']) + ($existing ? array('existing_config' => TRUE) : array()),
    'forms' => array(
      'install_configure_form' => array(
        'site_name' => $request['site_name'],
        'site_mail' => $request['site_mail'],
        'account' => array(
          'name' => $request['account_name'],
          'mail' => $request['account_mail'],
          'pass' => array('pass1' => $request['account_password'], 'pass2' => $request['account_password']),
        ),
        // NULL leaves a check box empty; FALSE would be refused as an invalid choice.
        'enable_update_status_module' => NULL,
        'enable_update_status_emails' => NULL,
      ),
    ),
  ));
  ProvisionBridge::trap();
  $task = provision_stored(Database::getConnection(), 'key_value', 'state', 'install_task');
  if ($task !== 'done') {
    provision_collect_messages();
    ProvisionBridge::refuse('incomplete', 'the installer returned, but its last task was ' . var_export($task, TRUE));
  }
  // It asks for write bits to be taken away: modes are provision's.
  provision_collect_messages("$path/settings.php");
  return array('profile' => (string) \Drupal::installProfile(), 'login' => provision_first_login($request));
}

/** The first account's link, for visitors' URL; NULL where only a fully started site knows it: with a prefix for the language. */
function provision_first_login(array $request) {
  global $provision_root;
  if ($request['language'] !== 'en') {
    return NULL;
  }
  ProvisionBridge::pretendRequest($request['url'], $provision_root);
  \Drupal::service('router.request_context')->fromRequest(Request::createFromGlobals());
  return provision_link(1);
}

/** Path of each install profile, relative to the docroot, by name. */
function provision_profiles() {
  $profiles = array();
  foreach (array('core/profiles/*/*.info.yml', 'profiles/*/*.info.yml', 'profiles/*/*/*.info.yml') as $pattern) {
    foreach (glob($pattern) ?: array() as $file) {
      $name = basename($file, '.info.yml');
      if ($name === basename(dirname($file)) && strpos($name, 'testing') !== 0) {
        $profiles[$name] = dirname($file);
      }
    }
  }
  ksort($profiles);
  return $profiles;
}

/** The profile that exported configuration was made with; another could not import it. */
function provision_configured_profile() {
  $file = Settings::get('config_sync_directory') . '/core.extension.yml';
  if (!is_file($file) || !preg_match("/^profile:\s*['\"]?(\w+)/m", (string) file_get_contents($file), $match)) {
    ProvisionBridge::refuse('no_profile', "no configuration to install from: $file names no profile");
  }
  return $match[1];
}

/** The installer goes on with what an interrupted one left. */
function provision_require_empty_database(array $info) {
  if ($info['driver'] === 'sqlite' && !is_file($info['database'])) {
    // SQLite itself makes files that the group cannot write, whatever the umask; what it makes beside this one
    // (-wal, -shm) gets the same mode.
    touch($info['database']);
    chmod($info['database'], 0660);
  }
  $database = Database::getConnection();
  if (provision_stored($database, 'key_value', 'state', 'install_task') === 'done') {
    ProvisionBridge::refuse('already_installed', 'the database holds a complete installation');
  }
  foreach (array('key_value', 'config', 'users', 'cache_bootstrap') as $table) {
    if ($database->schema()->tableExists($table)) {
      ProvisionBridge::refuse('not_empty', "the database is not empty: it has a table $table, left by an installation that did not end");
    }
  }
}

/** Works with a broken container, too: no kernel is started. */
function provision_status(array $request) {
  provision_settings($request);
  $info = provision_connection_info();
  $status = array(
    'version' => \Drupal::VERSION,
    'installed' => FALSE,
    'profile' => NULL,
    'site_name' => NULL,
    'maintenance' => FALSE,
    'last_cron' => 0,
    'database' => $info === NULL ? '' : (string) $info['database'],
  );
  $database = provision_database();
  if ($database === NULL) {
    return $status;
  }
  $extensions = provision_stored($database, 'config', '', 'core.extension');
  $site = provision_stored($database, 'config', '', 'system.site');
  // What settings.php says wins.
  $site = (isset($GLOBALS['config']['system.site']) ? $GLOBALS['config']['system.site'] : array()) + (is_array($site) ? $site : array());
  $status['installed'] = provision_stored($database, 'key_value', 'state', 'install_task') === 'done';
  $status['profile'] = isset($extensions['profile']) ? (string) $extensions['profile'] : NULL;
  $status['site_name'] = isset($site['name']) ? (string) $site['name'] : NULL;
  $status['maintenance'] = (bool) provision_stored($database, 'key_value', 'state', 'system.maintenance_mode');
  $status['last_cron'] = (int) provision_stored($database, 'key_value', 'state', 'system.cron_last');
  return $status;
}

/**
 * What there is of a type now; what was found when caches were last made may have moved since. Core's own reset() would take a row out of the
 * database, which a backup that is under way at the same moment would miss.
 */
function provision_extensions_there($type) {
  $list = \Drupal::service("extension.list.$type");
  $scan = \Closure::bind(function () {
    return $this->doList();
  }, $list, $list);
  return $scan();
}

function provision_inventory(array $request) {
  provision_boot($request);
  $schemas = provision_schema_versions();
  $active = (string) \Drupal::installProfile();
  $enabled = \Drupal::config('core.extension');
  $extensions = array();
  $found = array();
  foreach (array('profile', 'module', 'theme') as $type) {
    foreach (provision_extensions_there($type) as $name => $extension) {
      // The active profile is a module, too.
      if (isset($found[$name])) {
        continue;
      }
      $found[$name] = TRUE;
      $info = $extension->info;
      $extensions[] = array(
        'name' => (string) $name,
        'type' => $type,
        'path' => $extension->getPath(),
        // YAML makes a number of 1.0.
        'version' => isset($info['version']) ? (string) $info['version'] : NULL,
        'project' => isset($info['project']) ? (string) $info['project'] : NULL,
        'enabled' => $type === 'profile' ? $name === $active : !empty($extension->status),
        'schema' => $type !== 'theme' && isset($schemas[$name]) && $schemas[$name] >= 0 ? (int) $schemas[$name] : NULL,
      );
    }
  }
  $missing = array();
  foreach (array('module', 'theme') as $type) {
    foreach (array_keys((array) $enabled->get($type)) as $name) {
      if (!isset($found[$name])) {
        $missing[] = (string) $name;
      }
    }
  }
  sort($missing);
  return array('version' => \Drupal::VERSION, 'extensions' => $extensions, 'missing' => $missing);
}

function provision_schema_versions() {
  return \Drupal::hasService('update.update_hook_registry')
    ? \Drupal::service('update.update_hook_registry')->getAllInstalledVersions()
    : \Drupal::keyValue('system.schema')->getAll();
}

function provision_login(array $request) {
  provision_boot($request);
  return array('url' => provision_link((int) $request['uid']));
}

function provision_link($uid) {
  $account = $uid > 0 ? \Drupal::entityTypeManager()->getStorage('user')->load($uid) : NULL;
  if (!$account) {
    ProvisionBridge::refuse('no_account', "the site has no account with the number $uid");
  }
  if (!$account->isActive()) {
    ProvisionBridge::refuse('no_account', "the account with the number $uid is blocked, and Drupal refuses a blocked account's link");
  }
  // Deprecated in 11.4, and gone in 13.
  return function_exists('user_pass_reset_url')
    ? user_pass_reset_url($account) . '/login'
    : \Drupal::service('Drupal\user\OneTimeAuthentication')->generateOneTimeLoginUrl($account)->toString() . '/login';
}

function provision_cron(array $request) {
  provision_boot($request);
  // Exceptions of a module's cron end in the log alone, and the run counts as a success.
  $log = provision_listen();
  $ran = \Drupal::service('cron')->run();
  ProvisionBridge::trap();
  provision_warn_of_log($log);
  provision_collect_messages();
  if (!$ran) {
    ProvisionBridge::refuse('cron_locked', 'cron did not run: another run holds its lock');
  }
  return array('last_cron' => (int) \Drupal::state()->get('system.cron_last'));
}

function provision_cache(array $request) {
  $kernel = provision_boot($request, DrupalKernel::class, TRUE);
  require_once 'core/includes/common.inc';
  drupal_flush_all_caches($kernel);
  ProvisionBridge::trap();
  provision_collect_messages();
  return array();
}

/**
 * Updates in the order to run them, by name of their function: extension, name, description; number and dependents, or
 * neither for a post update.
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
  provision_collect_messages();
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
  foreach (\Drupal::service('update.post_update_registry')->getPendingUpdateFunctions() as $function) {
    list($extension) = explode('_post_update_', $function, 2);
    $updates[$function] = array('extension' => $extension, 'name' => $function, 'description' => provision_description($function));
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
  foreach (array('module', 'theme') as $type) {
    $list = \Drupal::service("extension.list.$type")->getList();
    foreach (array_keys((array) \Drupal::config('core.extension')->get($type)) as $name) {
      if (!isset($list[$name])) {
        ProvisionBridge::warn("the $type $name is enabled, but not there");
      }
    }
  }
}

/** The core's own update loop, without its batch pages: numbered updates, then post updates with caches made anew. */
function provision_update(array $request) {
  provision_boot_update($request);
  $log = provision_listen();
  $updates = provision_pending_updates();
  if (!$updates) {
    return array('ran' => array());
  }
  provision_check_requirements();
  $context = array('results' => array(), 'sandbox' => array(), 'finished' => 1, 'message' => '');
  $ran = array();
  $posts = FALSE;
  foreach ($updates as $function => $update) {
    $before = $ran ? 'ran before it: ' . implode(', ', array_keys($ran)) : 'no update ran before it';
    ProvisionBridge::during("$function of $update[extension]", array($before));
    $numbered = isset($update['number']);
    if (!$numbered && !$posts) {
      // Post updates may use everything that the numbered ones have made right.
      drupal_flush_all_caches();
      ProvisionBridge::trap();
      $posts = TRUE;
    }
    $context['sandbox'] = array();
    // update.php first sets the schema to the number before; without that a failure leaves it where it truly is.
    do {
      $context['finished'] = 1;
      // Both catch Exception, not Error: a TypeError of an update comes out here.
      if ($numbered) {
        update_do_one($update['extension'], $update['number'], $update['dependents'], $context);
      }
      else {
        update_invoke_post_update($function, $context);
      }
    } while ($context['finished'] < 1);
    ProvisionBridge::trap();
    if (!empty($context['results']['#abort'])) {
      $key = $numbered ? $update['number'] : explode('_post_update_', $function, 2)[1];
      $result = isset($context['results'][$update['extension']][$key]) ? $context['results'][$update['extension']][$key] : array();
      ProvisionBridge::refuse('update_failed', isset($result['#abort']['query']) ? $result['#abort']['query'] : "$function did not end well");
    }
    $ran[$function] = provision_public_update($update);
  }
  ProvisionBridge::during('clearing the caches', array('ran before it: ' . implode(', ', array_keys($ran))));
  drupal_flush_all_caches();
  ProvisionBridge::trap();
  ProvisionBridge::during(NULL);
  provision_warn_of_log($log);
  provision_collect_messages();
  return array('ran' => array_values($ran));
}

/** As update.php, which runs nothing while a module says that it cannot. */
function provision_check_requirements() {
  $unmet = array();
  foreach (update_check_requirements() as $name => $requirement) {
    $severity = isset($requirement['severity']) ? $requirement['severity'] : 0;
    // An enumeration since 11.2; 2 is an error.
    if ((is_object($severity) ? $severity->value : $severity) < 2) {
      continue;
    }
    $parts = array(isset($requirement['title']) ? $requirement['title'] : $name);
    foreach (array('value', 'description') as $part) {
      if (isset($requirement[$part])) {
        $parts[] = is_array($requirement[$part]) ? provision_rendered($requirement[$part]) : $requirement[$part];
      }
    }
    $unmet[] = ProvisionBridge::plain(implode(': ', array_filter(array_map('strval', $parts), 'strlen')));
  }
  if ($unmet) {
    ProvisionBridge::refuse('update_failed', 'the site does not meet what its code requires: ' . implode('; ', $unmet));
  }
}

function provision_rendered(array $elements) {
  $renderer = \Drupal::service('renderer');
  return (string) (method_exists($renderer, 'renderInIsolation') ? $renderer->renderInIsolation($elements) : $renderer->renderPlain($elements));
}

/** Makes the site's configuration that of config_sync_directory; answers with the names that changed. */
function provision_config_import(array $request) {
  provision_boot($request);
  $source = \Drupal::service('config.storage.sync');
  if (\Drupal::hasService('config.import_transformer')) {
    $source = \Drupal::service('config.import_transformer')->transform($source);
  }
  $comparer = new \Drupal\Core\Config\StorageComparer($source, \Drupal::service('config.storage'), \Drupal::service('config.manager'));
  if (!$comparer->createChangelist()->hasChanges()) {
    return array('imported' => array());
  }
  $names = array();
  foreach ($comparer->getAllCollectionNames() as $collection) {
    foreach ($comparer->getChangelist(NULL, $collection) as $changes) {
      foreach ($changes as $name) {
        $names[] = $collection === '' ? $name : "$collection:$name";
      }
    }
  }
  $importer = new \Drupal\Core\Config\ConfigImporter(
    $comparer,
    \Drupal::service('event_dispatcher'),
    \Drupal::service('config.manager'),
    \Drupal::service('lock.persistent'),
    \Drupal::service('config.typed'),
    \Drupal::service('module_handler'),
    \Drupal::service('module_installer'),
    \Drupal::service('theme_handler'),
    \Drupal::service('string_translation'),
    \Drupal::service('extension.list.module'),
    // Asked for since 10.1; before, one argument too many does no harm.
    \Drupal::service('extension.list.theme')
  );
  if ($importer->alreadyImporting()) {
    ProvisionBridge::refuse('import_failed', 'another import of configuration is under way');
  }
  try {
    foreach ($importer->initialize() as $step) {
      $context = array('finished' => 1);
      do {
        $importer->doSyncStep($step, $context);
      } while ($context['finished'] < 1);
    }
  }
  catch (\Drupal\Core\Config\ConfigImporterException $problem) {
    ProvisionBridge::refuse('import_failed', implode('; ', $importer->getErrors() ?: array($problem->getMessage())));
  }
  ProvisionBridge::trap();
  if ($importer->getErrors()) {
    ProvisionBridge::refuse('import_failed', implode('; ', $importer->getErrors()));
  }
  drupal_flush_all_caches();
  ProvisionBridge::trap();
  provision_collect_messages();
  return array('imported' => $names);
}

/**
 * Functions MODULE_deploy_NAME() in MODULE.deploy.php, each once in the life of a site.
 *
 * Kept where Drush keeps it, so that a site may be deployed by either.
 */
function provision_deploy(array $request) {
  provision_boot($request);
  $store = \Drupal::keyValue('deploy_hook');
  $done = (array) $store->get('existing_updates', array());
  $hooks = array();
  foreach (\Drupal::moduleHandler()->getModuleList() as $module => $extension) {
    $file = $extension->getPath() . "/$module.deploy.php";
    if (!is_file($file)) {
      continue;
    }
    include_once $file;
    foreach (get_defined_functions()['user'] as $function) {
      // PHP has it in small letters; a module whose name begins like this one's has its own file.
      if (strpos($function, "{$module}_deploy_") === 0) {
        $reflection = new ReflectionFunction($function);
        if (realpath((string) $reflection->getFileName()) === realpath($file) && !in_array($reflection->getName(), $done, TRUE)) {
          $hooks[$reflection->getName()] = $module;
        }
      }
    }
  }
  ksort($hooks);
  $ran = array();
  foreach ($hooks as $function => $module) {
    $before = $ran ? 'ran before it: ' . implode(', ', array_keys($ran)) : 'no deploy hook ran before it';
    ProvisionBridge::during("$function of $module", array($before));
    $sandbox = array();
    do {
      unset($sandbox['#finished']);
      $function($sandbox);
    } while (isset($sandbox['#finished']) && $sandbox['#finished'] < 1);
    ProvisionBridge::trap();
    $done[] = $function;
    $store->set('existing_updates', $done);
    $ran[$function] = array('extension' => $module, 'name' => $function, 'description' => provision_description($function));
  }
  ProvisionBridge::during(NULL);
  provision_collect_messages();
  return array('ran' => array_values($ran));
}

/** Not findTables(): for SQLite it looks into attached databases only, and without a prefix for tables there is none. */
function provision_tables($database) {
  $queries = array(
    'mysql' => 'SHOW TABLES',
    'pgsql' => 'SELECT tablename FROM pg_tables WHERE schemaname = ANY (CURRENT_SCHEMAS(FALSE))',
    'sqlite' => "SELECT name FROM sqlite_master WHERE type = 'table'",
  );
  return $database->query($queries[$database->driver()])->fetchCol();
}

/** Everything that is cached in the database: needs no container, which may name code that is gone. */
function provision_empty_caches($database) {
  foreach (provision_tables($database) as $table) {
    if (strpos($table, 'cache_') === 0) {
      $database->truncate($table)->execute();
    }
  }
  // Where extensions were when somebody last looked.
  $lists = array('system.profile.files', 'system.module.files', 'system.theme.files', 'system.theme_engine.files', 'system.module.data', 'system.theme.data');
  $database->delete('key_value')->condition('collection', 'state')->condition('name', $lists, 'IN')->execute();
}

/**
 * Finds moved code before any of it is needed.
 *
 * The container, and where extensions are, was found out in another tree, perhaps of the same version of core, which is
 * most of the container's name. The kernel of updates makes a container without asking any cache; pages make theirs
 * when they are next asked for. Routes and the like wait for cache, since that runs the code of modules whose updates
 * have not run.
 */
function provision_rebuild(array $request) {
  $database = provision_installed($request);
  provision_empty_caches($database);
  provision_boot($request, UpdateKernel::class);
  provision_warn_of_missing();
  ProvisionBridge::trap();
  // Starting has filled some of them, while updates were pending.
  provision_empty_caches($database);
  return array();
}

/**
 * The install profile is a module like others, named once more in core.extension.
 *
 * Without this its own directory is no longer looked into: every module below it counts as missing.
 */
function provision_rename_profile(array $request) {
  $database = provision_installed($request);
  list($from, $to) = array($request['from'], $request['to']);
  foreach (array($from, $to) as $profile) {
    if (!preg_match('/^[a-z][a-z0-9_]*$/D', $profile)) {
      ProvisionBridge::refuse('bad_request', "no name of a profile: $profile");
    }
  }
  $profiles = provision_profiles();
  if (!isset($profiles[$to])) {
    ProvisionBridge::refuse('no_profile', "this platform has no install profile $to");
  }
  $extensions = provision_stored($database, 'config', '', 'core.extension');
  $profile = isset($extensions['profile']) ? $extensions['profile'] : '';
  if ($profile === $to && !isset($extensions['module'][$from])) {
    provision_rename_in_export($from, $to);
    return array('renamed' => FALSE);
  }
  if ($profile !== $from && $profile !== $to) {
    ProvisionBridge::refuse('no_profile', "the site's install profile is $profile, neither $from nor $to");
  }

  $transaction = $database->startTransaction();
  try {
    $modules = array();
    foreach ($extensions['module'] as $name => $weight) {
      if ($name !== $to) {
        $modules[$name === $from ? $to : $name] = $weight;
      }
    }
    $extensions['module'] = $modules;
    $extensions['profile'] = $to;
    $database->update('config')->fields(array('data' => serialize($extensions)))->condition('collection', '')->condition('name', 'core.extension')->execute();
    $database->delete('key_value')->condition('collection', 'system.schema')->condition('name', $to)->execute();
    $database->update('key_value')->fields(array('name' => $to))->condition('collection', 'system.schema')->condition('name', $from)->execute();
    // What the profile's post updates did under its old name is done.
    $known = provision_stored($database, 'key_value', 'post_update', 'existing_updates');
    if (is_array($known)) {
      foreach ($known as $function) {
        if (strpos($function, "{$from}_post_update_") === 0) {
          $known[] = $to . substr($function, strlen($from));
        }
      }
      $database->update('key_value')->fields(array('value' => serialize(array_values(array_unique($known)))))
        ->condition('collection', 'post_update')->condition('name', 'existing_updates')->execute();
    }
    provision_empty_caches($database);
  }
  catch (Throwable $problem) {
    $transaction->rollBack();
    throw $problem;
  }
  unset($transaction);
  provision_rename_in_export($from, $to);
  return array('renamed' => TRUE);
}

/** The next import of configuration would else be refused: it wants the old profile back. */
function provision_rename_in_export($from, $to) {
  $file = Settings::get('config_sync_directory') . '/core.extension.yml';
  $text = is_file($file) ? file_get_contents($file) : FALSE;
  if ($text === FALSE || !preg_match("/^profile: $from$/m", $text)) {
    return;
  }
  $text = preg_replace(array("/^profile: $from$/m", "/^(  )$from(: -?\d+)$/m"), array("profile: $to", "\${1}$to\${2}"), $text);
  $beside = dirname($file) . '/.core.extension.yml.provision-new';
  file_put_contents($beside, $text);
  chmod($beside, fileperms($file) & 0777);
  rename($beside, $file);
}

/** Text and link fields of every entity type that is kept in tables, with their revisions; configuration; state. */
/** Of tokens in forms and links, and of the address of cron. */
function provision_renew_keys() {
  foreach (array('system.private_key', 'system.cron_key') as $name) {
    \Drupal::state()->set($name, bin2hex(random_bytes(32)));
  }
}

function provision_rewrite_paths(array $request) {
  $fresh = !empty($request['fresh']);
  if ($fresh) {
    // What is cached may name the old places, and a start goes by it.
    provision_empty_caches(provision_installed($request));
  }
  provision_boot($request, DrupalKernel::class, $fresh);
  require_once dirname(__DIR__) . '/rewrite.php';
  $database = Database::getConnection();
  $rewrite = new ProvisionRewrite($request['pairs']);
  $schema = provision_field_tables($database) + array(
    'config' => array(
      'fields' => array('data' => array('type' => 'blob', 'size' => 'big')),
      'primary key' => array('collection', 'name'),
    ),
    'key_value' => array(
      'fields' => array('value' => array('type' => 'blob', 'size' => 'big')),
      'primary key' => array('collection', 'name'),
    ),
  );
  $query = function ($sql, array $arguments) use ($database) {
    return $database->query($sql, $arguments);
  };
  $transaction = $database->startTransaction();
  try {
    $result = $rewrite->tables($schema, $database->driver(), $query, array('config' => 'name', 'key_value' => 'name'));
  }
  catch (Throwable $problem) {
    $transaction->rollBack();
    throw $problem;
  }
  unset($transaction);
  if ($result['changed']) {
    drupal_flush_all_caches();
    ProvisionBridge::trap();
    provision_collect_messages();
  }
  if (!empty($request['new_keys'])) {
    provision_renew_keys();
  }
  return $result;
}

/** Tables and columns of such fields, as hook_schema() would describe them. */
function provision_field_tables($database) {
  $schema = array();
  $fields = \Drupal::service('entity_field.manager');
  foreach (array('text', 'text_long', 'text_with_summary', 'string', 'string_long', 'link') as $type) {
    foreach ($fields->getFieldMapByFieldType($type) as $entity_type => $names) {
      $storage = \Drupal::entityTypeManager()->getStorage($entity_type);
      if (!$storage instanceof \Drupal\Core\Entity\Sql\SqlEntityStorageInterface) {
        continue;
      }
      $definitions = $fields->getFieldStorageDefinitions($entity_type);
      foreach (array_keys($names) as $name) {
        if (!isset($definitions[$name]) || $definitions[$name]->hasCustomStorage()) {
          continue;
        }
        $columns = $definitions[$name]->getColumns();
        $mapping = $storage->getTableMapping();
        foreach ($mapping->getAllFieldTableNames($name) as $table) {
          foreach ($mapping->getColumnNames($name) as $property => $column) {
            // Not format, nor a link's options: they name no files.
            if (!in_array($property, array('value', 'summary', 'uri', 'title'), TRUE) || !$database->schema()->fieldExists($table, $column)) {
              continue;
            }
            $schema[$table]['fields'][$column] = $columns[$property];
            $schema[$table]['primary key'] = provision_key_of($database, $table, \Drupal::entityTypeManager()->getDefinition($entity_type));
          }
        }
      }
    }
  }
  return $schema;
}

/** What names a row in a table of entities: of a field's own table its five columns, of a shared one the entity's keys. */
function provision_key_of($database, $table, $definition) {
  $own = array('entity_id', 'revision_id', 'deleted', 'delta', 'langcode');
  if ($database->schema()->fieldExists($table, 'entity_id') && $database->schema()->fieldExists($table, 'delta')) {
    return $own;
  }
  $shared = array_filter(array($definition->getKey('id'), $definition->getKey('revision'), $definition->getKey('langcode')));
  return array_values(array_filter($shared, function ($column) use ($database, $table) {
    return $database->schema()->fieldExists($table, $column);
  }));
}

function provision_sanitize(array $request) {
  $database = provision_installed($request);
  foreach (array('mail', 'name') as $rule) {
    if (substr_count($request[$rule], '%uid') !== 1) {
      ProvisionBridge::refuse('bad_request', "the rule $rule must hold %uid once: $request[$rule]");
    }
  }
  $accounts = array();
  $transaction = $database->startTransaction();
  try {
    $rows = $database->query('SELECT uid, langcode, name, mail, init, pass FROM {users_field_data} WHERE uid > 0')->fetchAll();
    $wanted = array();
    foreach ($rows as $row) {
      $mail = str_replace('%uid', $row->uid, $request['mail']);
      // No password has this hash. The first account keeps its name.
      $values = array('mail' => $mail, 'init' => $mail, 'pass' => '!', 'name' => (int) $row->uid === 1 ? $row->name : str_replace('%uid', $row->uid, $request['name']));
      if (array_diff_assoc($values, (array) $row)) {
        $wanted[] = array($row, $values);
        $accounts[$row->uid] = TRUE;
      }
    }
    // In two passes, because a name may be in use for another account, and no two may be the same for a moment.
    $passing = bin2hex(random_bytes(8));
    foreach (array(TRUE, FALSE) as $first) {
      foreach ($wanted as list($row, $values)) {
        if ($first) {
          $values['name'] = (int) $row->uid === 1 ? $row->name : $passing . $row->uid;
        }
        $database->update('users_field_data')->fields($values)->condition('uid', $row->uid)->condition('langcode', $row->langcode)->execute();
      }
    }
    foreach (array_merge(array('sessions', 'watchdog', 'flood', 'history', 'key_value_expire'), $request['emptied']) as $table) {
      if (preg_match('/^\w+$/D', $table) && $database->schema()->tableExists($table)) {
        $database->delete($table)->execute();
      }
    }
    if ($database->schema()->tableExists('comment_field_data')) {
      // Of visitors without an account.
      $database->update('comment_field_data')->fields(array('mail' => NULL, 'homepage' => NULL, 'hostname' => ''))->execute();
    }
    $values = provision_empty_values($database, 'config', 'data', NULL, $request['values'])
      + provision_empty_values($database, 'key_value', 'value', 'state', $request['values']);
    provision_empty_caches($database);
  }
  catch (Throwable $problem) {
    $transaction->rollBack();
    throw $problem;
  }
  unset($transaction);
  return array('accounts' => count($accounts), 'values' => $values);
}

/** Empties texts by the name of the row, or by their key within it; answers with how many. */
function provision_empty_values($database, $table, $column, $collection, array $patterns) {
  $matches = function ($name) use ($patterns) {
    foreach ($patterns as $pattern) {
      if (preg_match('/^' . str_replace('\*', '.*', preg_quote($pattern, '/')) . '$/i', $name)) {
        return TRUE;
      }
    }
    return FALSE;
  };
  $count = 0;
  $empty = function ($value, $named) use (&$empty, &$count, $matches) {
    if (is_array($value)) {
      foreach ($value as $key => $item) {
        // A row's name stands for its texts; a key only for its own, since what is below has keys of its own.
        $value[$key] = $empty($item, is_array($item) ? FALSE : $named || $matches((string) $key));
      }
      return $value;
    }
    if (!$named || !is_string($value) || $value === '') {
      return $value;
    }
    $count++;
    return '';
  };
  $query = "SELECT collection, name, $column AS data FROM {{$table}}";
  $rows = $collection === NULL
    ? $database->query($query)->fetchAll()
    : $database->query("$query WHERE collection = :collection", array(':collection' => $collection))->fetchAll();
  foreach ($rows as $row) {
    $value = provision_unserialized($row->data);
    // An object that a module keeps is not taken apart.
    if (!is_array($value) && !is_string($value)) {
      continue;
    }
    $before = $count;
    $value = $empty($value, $matches($row->name));
    if ($count > $before) {
      $database->update($table)->fields(array($column => serialize($value)))->condition('collection', $row->collection)->condition('name', $row->name)->execute();
    }
  }
  return $count;
}
