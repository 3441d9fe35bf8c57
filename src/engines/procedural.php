<?php

/**
 * The ops that Drupal 7 and Backdrop have in common: a core of procedures, with one table of extensions, `{system}`.
 *
 * What is different, the engine's own script says in functions: provision_core (name of a core's function without its
 * prefix), provision_version, provision_install, provision_status, provision_maintenance, provision_rebuild,
 * provision_boot_settings, provision_boot_database, provision_boot_full, provision_boot_update, provision_profile,
 * provision_set_profile, provision_profile_file, provision_last_cron, provision_named_rows, provision_rewrite_more,
 * provision_empty_values, provision_found_site, provision_salt. The docroot is the working directory.
 */

require __DIR__ . '/bridge.php';
require __DIR__ . '/found.php';

/** Runs the op of a request; ends the process. */
function provision_main(array $request) {
  if (!chdir($request['docroot'])) {
    ProvisionBridge::refuse('bad_request', "no such directory: $request[docroot]");
  }
  // Caught here and not by an exception handler: the core replaces handlers while it starts.
  try {
    ProvisionBridge::answer(provision_run($request));
  }
  catch (Throwable $problem) {
    ProvisionBridge::onException($problem);
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
      provision_boot_full($request);
      provision_flush_caches();
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

    case 'sanitize':
      return provision_sanitize($request);

    case 'renew_keys':
      provision_boot_full($request);
      provision_renew_keys();
      return array();

    case 'log':
      return provision_log($request);
  }
  ProvisionBridge::refuse('bad_request', "no such op: $request[op]");
}

/** What the settings.php of a site says that somebody else made, and the state of its database. */
function provision_found(array $request) {
  provision_tell_account($request['directory']);
  try {
    provision_boot_settings($request);
  }
  catch (Throwable $problem) {
    provision_bad_settings($problem);
  }
  $found = provision_found_database(isset($GLOBALS['databases']) ? $GLOBALS['databases'] : array());
  $found += array('problem' => NULL, 'names' => provision_found_names($request['directory']));
  $site = array();
  if (provision_has_database()) {
    try {
      $site = provision_found_site($request);
    }
    catch (Throwable $problem) {
      $found['problem'] = ProvisionBridge::plain($problem->getMessage());
    }
  }
  elseif ($found['database'] !== NULL) {
    $found['problem'] = 'there is no file ' . $found['database']['database'];
  }
  return $found + $site + provision_nothing_found() + array('hash_salt' => (string) provision_salt());
}

function provision_found_identity() {
  $query = provision_identity_query($GLOBALS['databases']['default']['default']['driver']);
  return $query === NULL ? NULL : (string) db_query($query)->fetchField();
}

/** What the site wrote into its log after an entry; no module is loaded for it. */
function provision_log(array $request) {
  provision_boot_database($request);
  if (!db_table_exists('watchdog')) {
    return array('kept' => FALSE);
  }
  $last = (int) db_query('SELECT MAX(wid) FROM {watchdog}')->fetchField();
  $rows = db_query('SELECT wid, type, message, variables, severity FROM {watchdog} WHERE wid > :after ORDER BY wid DESC LIMIT 1000', array(
    ':after' => (int) $request['after'],
  ));
  $entries = array();
  foreach ($rows as $row) {
    $entries[] = ProvisionBridge::logEntry((array) $row);
  }
  return array('kept' => TRUE, 'last' => $last, 'entries' => $entries);
}

/** Modules that became part of the core, and stay in {system} without a file. */
function provision_merged_modules() {
  $function = provision_core('merged_modules');
  return function_exists($function) ? $function() : array();
}

/** Files of all install profiles by name. */
function provision_profiles() {
  $profiles = array();
  foreach (array_merge(glob('core/profiles/*/*.profile') ?: array(), glob('profiles/*/*.profile') ?: array()) as $file) {
    $name = basename($file, '.profile');
    if ($name === basename(dirname($file))) {
      $profiles[$name] = $file;
    }
  }
  return $profiles;
}

function provision_check_profile($profile) {
  $profiles = provision_profiles();
  if (!preg_match('/^[a-z][a-z0-9_]*$/D', $profile) || !isset($profiles[$profile])) {
    ProvisionBridge::refuse('no_profile', "this platform has no install profile $profile; it has: " . implode(', ', array_keys($profiles)));
  }
}

function provision_flush_caches() {
  $flush = provision_core('flush_all_caches');
  $flush();
  ProvisionBridge::trap();
  provision_collect_messages();
}

/** What the core would have shown on the next page. */
function provision_collect_messages() {
  $get = provision_core('get_messages');
  foreach (function_exists($get) ? (array) $get() : array() as $type => $messages) {
    if ($type !== 'status') {
      foreach ($messages as $message) {
        ProvisionBridge::warn($message);
      }
    }
  }
}

function provision_inventory(array $request) {
  provision_boot_full($request);
  $known = array('module' => array(), 'theme' => array());
  foreach (db_query('SELECT name, type, status, schema_version FROM {system}') as $row) {
    $known[$row->type][$row->name] = $row;
  }

  // The functions with an underscore only read; those without write what they find to the database.
  $found = array('module' => _system_rebuild_module_data(), 'theme' => _system_rebuild_theme_data());
  $active = provision_profile();
  $extensions = array();
  foreach ($found as $type => $files) {
    foreach ($files as $name => $file) {
      $row = isset($known[$type][$name]) ? $known[$type][$name] : NULL;
      $extensions[] = provision_extension($type === 'module' && $name === $active ? 'profile' : $type, $name, dirname($file->uri), $file->info, $row);
    }
  }
  $parse = provision_core('parse_info_file');
  foreach (provision_profiles() as $name => $file) {
    if ($name !== $active) {
      $info = is_file(dirname($file) . "/$name.info") ? $parse(dirname($file) . "/$name.info") : array();
      $extensions[] = provision_extension('profile', $name, dirname($file), (array) $info, NULL);
    }
  }

  $missing = array();
  foreach ($known as $type => $rows) {
    foreach ($rows as $name => $row) {
      if ($row->status && !isset($found[$type][$name]) && !in_array($name, provision_merged_modules(), TRUE)) {
        $missing[] = $name;
      }
    }
  }
  sort($missing);
  return array('version' => provision_version(), 'extensions' => $extensions, 'missing' => $missing);
}

/** @param object|null $row Of the table {system}; SCHEMA_UNINSTALLED is -1. */
function provision_extension($type, $name, $path, array $info, $row) {
  return array(
    'name' => (string) $name,
    'type' => $type,
    // Backdrop gives the site's own directory with a dot.
    'path' => preg_replace('~^\./~', '', $path),
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
  $run = provision_core('cron_run');
  $ran = $run();
  ProvisionBridge::trap();
  provision_collect_messages();
  if (!$ran) {
    ProvisionBridge::refuse('cron_locked', 'cron did not run: another run holds its lock');
  }
  return array('last_cron' => provision_last_cron());
}

/** A page kept for visitors is served whatever mode the site is in. */
function provision_forget_pages() {
  if (db_table_exists('cache_page')) {
    cache_clear_all('*', 'cache_page', TRUE);
  }
}

/** From now on errors that go to the site's log are warnings of ours too, whatever module keeps the log, and if none does. */
function provision_tap_log() {
  if (!function_exists('module_implements') || in_array('provision', module_implements('watchdog'), TRUE)) {
    return;
  }
  // The list of who implements a hook, in memory; what is kept of it in the cache is not ours to change.
  $static = provision_core('static');
  $implementations = &$static('module_implements');
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
    if (!is_file($row->filename) && !in_array($row->name, provision_merged_modules(), TRUE)) {
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
  provision_flush_caches();
  ProvisionBridge::during(NULL);
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

/** All that is cached, but the forms that somebody may be filling in. Needs no module's code. */
function provision_empty_caches() {
  foreach (db_find_tables('cache%') as $table) {
    if (preg_match('/(cache(?:_(?!form$)\w+)?)$/', $table, $match) && db_table_exists($match[1])) {
      // A server takes longer to empty a table than to say that it is empty, and that of a copy is.
      if (!provision_is_kept_in_table($match[1]) || db_query_range('SELECT 1 FROM {' . $match[1] . '}', 0, 1)->fetchField()) {
        // By its bin: it may be kept elsewhere than in the table.
        cache_clear_all('*', $match[1], TRUE);
      }
    }
  }
}

/**
 * Until it is unset, what is changed is changed at once. NULL on PostgreSQL: it gives up a transaction in which a statement failed, also one that core
 * lets fail.
 */
function provision_transaction() {
  return $GLOBALS['databases']['default']['default']['driver'] === 'pgsql' ? NULL : db_transaction();
}

/** Whether core's own class has this bin of the cache, in the table of its name and nowhere else. */
function provision_is_kept_in_table($bin) {
  $of = function_exists('_cache_get_object') ? '_cache_get_object' : 'cache';
  return function_exists($of) && in_array(get_class($of($bin)), array('DrupalDatabaseCache', 'BackdropDatabaseCache'), TRUE);
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

/** Of tokens in forms and links, and of cron.php, which takes a word that everybody knows where there is no key. */
function provision_renew_keys() {
  foreach (array('private_key', 'cron_key') as $name) {
    provision_set_key($name, bin2hex(random_bytes(32)));
  }
}

function provision_rewrite_paths(array $request) {
  if (!empty($request['fresh'])) {
    // What is cached may name the old places, and a start goes by it.
    provision_boot_database($request);
    provision_empty_caches();
  }
  provision_boot_full($request);
  require_once __DIR__ . '/rewrite.php';
  $rewrite = new ProvisionRewrite($request['pairs']);
  $schema = provision_core('get_schema');
  $schema = provision_content_tables($schema(NULL, TRUE));
  $driver = $GLOBALS['databases']['default']['default']['driver'];
  $transaction = db_transaction();
  try {
    $result = array_merge_recursive($rewrite->tables($schema, $driver, 'db_query', provision_named_rows()), provision_rewrite_more($rewrite));
  }
  catch (Throwable $problem) {
    $transaction->rollback();
    throw $problem;
  }
  unset($transaction);
  if ($result['changed']) {
    provision_empty_caches();
    provision_flush_caches();
  }
  if (!empty($request['new_keys'])) {
    provision_renew_keys();
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
    $values = provision_empty_values($request['values']);
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

/** Whether one of the patterns fits a name; `*` stands for any characters. */
function provision_matches($name, array $patterns) {
  foreach ($patterns as $pattern) {
    if (fnmatch(strtolower($pattern), strtolower($name))) {
      return TRUE;
    }
  }
  return FALSE;
}

/** Parts of a value whose keys match, emptied. */
function provision_emptied(array $value, array $patterns, &$count) {
  foreach ($value as $key => $item) {
    if (is_string($key) && is_scalar($item) && $item !== '' && provision_matches($key, $patterns)) {
      $value[$key] = '';
      $count++;
    }
    elseif (is_array($item)) {
      $value[$key] = provision_emptied($item, $patterns, $count);
    }
  }
  return $value;
}

/** A table of names and serialized values: rows of such names are deleted, which is their default; parts of others are emptied. */
function provision_empty_rows($table, array $patterns) {
  $driver = $GLOBALS['databases']['default']['default']['driver'];
  $count = 0;
  foreach (db_query("SELECT name, value FROM {{$table}}")->fetchAllKeyed() as $name => $raw) {
    $raw = is_resource($raw) ? stream_get_contents($raw) : $raw;
    if (provision_matches($name, $patterns)) {
      db_query("DELETE FROM {{$table}} WHERE name = :name", array(':name' => $name));
      $count++;
      continue;
    }
    $value = @unserialize($raw, array('allowed_classes' => FALSE));
    $before = $count;
    $value = is_array($value) ? provision_emptied($value, $patterns, $count) : $value;
    if ($count > $before) {
      $text = serialize($value);
      // PostgreSQL would take a backslash for the beginning of a byte.
      $bytes = $driver === 'pgsql' ? "DECODE(:value, 'hex')" : ':value';
      db_query("UPDATE {{$table}} SET value = $bytes WHERE name = :name", array(':value' => $driver === 'pgsql' ? bin2hex($text) : $text, ':name' => $name));
    }
  }
  return $count;
}

function provision_check_site(array $request) {
  // Backdrop begins it with ./
  $found = preg_replace('~^\./~', '', conf_path());
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
 * The install profile is a module like others, named once more where the site's settings are stored.
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
  $file = provision_profile_file($to);
  if (!is_file($file)) {
    ProvisionBridge::refuse('no_profile', "this platform has no install profile $to");
  }
  $profile = provision_profile();
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
      db_query("DELETE FROM {system} WHERE type = 'module' AND (name = :to OR filename = :file)", array(':to' => $to, ':file' => $file));
      db_query("UPDATE {system} SET name = :to, filename = :file WHERE type = 'module' AND name = :from", array(
        ':to' => $to,
        ':file' => $file,
        ':from' => $from,
      ));
    }
    provision_set_profile($to);
  }
  catch (Throwable $problem) {
    $transaction->rollback();
    throw $problem;
  }
  unset($transaction);
  provision_empty_caches();
  return array('renamed' => TRUE);
}

/**
 * {system} names the files of enabled modules where these are now. Answers with how many had moved.
 *
 * @param callable|null $moved Called with each module that moved, its old and its new file.
 */
function provision_relocate($moved = NULL) {
  $listing = provision_core('system_listing');
  $count = 0;
  $found = $listing('/^[a-zA-Z_\x7f-\xff][a-zA-Z0-9_\x7f-\xff]*\.module$/', 'modules', 'name', 0);
  foreach (db_query("SELECT name, filename FROM {system} WHERE type = 'module' AND status = 1")->fetchAllKeyed() as $name => $old) {
    $profile = provision_profile_file($name);
    $new = isset($found[$name]) ? $found[$name]->uri : (is_file($profile) ? $profile : $old);
    if ($new === $old) {
      continue;
    }
    db_query('DELETE FROM {system} WHERE filename = :new', array(':new' => $new));
    db_query('UPDATE {system} SET filename = :new WHERE filename = :old', array(':new' => $new, ':old' => $old));
    if ($moved) {
      $moved($name, $old, $new);
    }
    $count++;
  }
  return $count;
}
