<?php

/**
 * What the bridge scripts of all engines share.
 *
 * A bridge script is run by the PHP command line program on the host that has the code. It reads one JSON request on
 * standard input and writes one JSON document, one line, to descriptor 3; standard output and standard error belong
 * to the core and its modules, which may print what they like.
 *
 *   {"ok": true, "result": …, "warnings": ["…"], "printed": "…"}                              exit 0
 *   {"ok": false, "error": {"code": "…", "message": "…", "notes": ["…"]}, "warnings": []}             exit 1, or 70: died
 *
 * An error may also have: at (file:line), output (what was printed), during (what was being run: `user_update_7019 of user`).
 *
 * A caller believes in success only when it has all three: exit 0, a document, and ok: true. A core can end its
 * process with 0 in the middle (a redirect to install.php), and can fail after the document was sent (in a shutdown
 * function).
 *
 * Syntax: PHP 7.0, for old platforms run on old PHP.
 */
final class ProvisionBridge {

  const MAX_WARNINGS = 50;
  /** Bytes of what was printed by a core that did what it was asked. */
  const MAX_PRINTED = 65536;

  private static $channel;
  private static $answered = FALSE;
  private static $warnings = array();
  private static $during;
  private static $notes = array();
  private static $reserve = '';

  /** Prepares the process and answers with the request. Nothing of the core may be loaded before. */
  public static function open() {
    error_reporting(E_ALL & ~E_DEPRECATED & ~E_USER_DEPRECATED);
    ini_set('display_errors', 'stderr');
    ini_set('html_errors', '0');
    self::raiseMemoryLimit(1024);
    set_time_limit(0);
    // What PHP makes on the command line, the web server's user (by the group) must be able to change.
    umask(0002);

    // Opened now: later the core may have closed or reused the descriptor.
    self::$channel = @fopen('php://fd/3', 'w');
    if (!self::$channel) {
      fwrite(STDERR, "provision: descriptor 3 is not open\n");
      exit(70);
    }
    self::$reserve = str_repeat(' ', 256 * 1024);
    register_shutdown_function(array(__CLASS__, 'shutdown'));
    self::trap();
    ob_start();

    $request = json_decode(stream_get_contents(STDIN), TRUE);
    if (!is_array($request) || !isset($request['op'])) {
      self::refuse('bad_request', 'the request on standard input is not a JSON object with an op');
    }
    return $request;
  }

  /**
   * Makes the process look like a GET of $url/ to the core.
   *
   * Assigned, never added: PHP has set SCRIPT_NAME to the path of this script, from which conf_path() would derive
   * sites/default without a word. SERVER_SOFTWARE stays NULL: with it a core believes that it talks to a browser,
   * and answers from its page cache, redirects, or prints an HTML page and exits with 0.
   */
  public static function pretendRequest($url, $docroot) {
    $parts = parse_url($url);
    if (!is_array($parts) || empty($parts['host'])) {
      self::refuse('bad_request', "not a URL: $url");
    }
    $https = isset($parts['scheme']) && strtolower($parts['scheme']) === 'https';
    $defaultPort = $https ? 443 : 80;
    $port = isset($parts['port']) ? $parts['port'] : $defaultPort;
    $path = isset($parts['path']) ? rtrim($parts['path'], '/') : '';
    $assigned = array(
      'HTTP_HOST' => $parts['host'] . ($port === $defaultPort ? '' : ":$port"),
      'SERVER_NAME' => $parts['host'],
      'SERVER_PORT' => (string) $port,
      'SERVER_ADDR' => '127.0.0.1',
      'SERVER_PROTOCOL' => 'HTTP/1.1',
      'SERVER_SOFTWARE' => NULL,
      'REMOTE_ADDR' => '127.0.0.1',
      'REQUEST_METHOD' => 'GET',
      'REQUEST_URI' => "$path/",
      'QUERY_STRING' => '',
      'SCRIPT_NAME' => "$path/index.php",
      'SCRIPT_FILENAME' => "$docroot/index.php",
      'PHP_SELF' => "$path/index.php",
      'DOCUMENT_ROOT' => $docroot,
      'HTTP_USER_AGENT' => 'provision',
    );
    foreach ($assigned as $name => $value) {
      $_SERVER[$name] = $value;
    }
    unset($_SERVER['HTTPS'], $_SERVER['argv'], $_SERVER['argc']);
    if ($https) {
      $_SERVER['HTTPS'] = 'on';
    }
    $_GET = $_POST = $_COOKIE = $_REQUEST = array();
  }

  /**
   * Collects what PHP complains of, and catches what nobody else does.
   *
   * Cores install handlers of their own while they start, which print a page and exit with 0. So this is called
   * again after every step that boots something.
   */
  public static function trap() {
    set_error_handler(array(__CLASS__, 'onError'));
    set_exception_handler(array(__CLASS__, 'onException'));
  }

  public static function onError($level, $message, $file = '', $line = 0) {
    if (!(error_reporting() & $level) || ($level & (E_DEPRECATED | E_USER_DEPRECATED))) {
      return TRUE;
    }
    if ($level & (E_USER_ERROR | E_RECOVERABLE_ERROR)) {
      throw new ErrorException($message, 0, $level, $file, $line);
    }
    self::warn("$message ($file:$line)");
    return TRUE;
  }

  /** @param Throwable $problem */
  public static function onException($problem) {
    self::refuse('exception', get_class($problem) . ': ' . $problem->getMessage(), $problem->getFile() . ':' . $problem->getLine());
  }

  public static function warn($message) {
    $message = self::plain($message);
    if ($message !== '' && count(self::$warnings) < self::MAX_WARNINGS && !in_array($message, self::$warnings, TRUE)) {
      self::$warnings[] = $message;
    }
  }

  /**
   * From now on a failure is one of $during (`user_update_7019 of user`), and goes with $notes; NULL: of nothing in particular.
   *
   * Said on standard error too: a process that is killed leaves no document.
   */
  public static function during($during, array $notes = array()) {
    self::$during = $during;
    self::$notes = $notes;
    if ($during !== NULL) {
      fwrite(STDERR, "running $during\n");
    }
  }

  /** A row of {watchdog} as it is told: its message with what stands for the words in it. */
  public static function logEntry(array $row) {
    $values = is_resource($row['variables']) ? stream_get_contents($row['variables']) : $row['variables'];
    $values = @unserialize((string) $values, array('allowed_classes' => FALSE));
    $words = array_filter(is_array($values) ? $values : array(), 'is_scalar');
    return array(
      'type' => (string) $row['type'],
      'severity' => (int) $row['severity'],
      'message' => self::plain(strtr((string) $row['message'], array_map('strval', $words))),
    );
  }

  /** Reports success and ends the process; the core's shutdown functions still run. */
  public static function answer(array $result) {
    // Only looked at: what is at the end of a buffer may fail, and must not before the answer is given.
    $printed = substr((string) ob_get_contents(), -self::MAX_PRINTED);
    // An empty PHP array is a list in JSON; a result is always an object.
    self::send(array('ok' => TRUE, 'result' => $result ? $result : new stdClass(), 'printed' => $printed));
    self::discardOutput();
    exit(0);
  }

  /** Reports failure and ends the process; the core's shutdown functions still run. */
  public static function refuse($code, $message, $at = NULL) {
    $error = array('code' => $code, 'message' => self::plain($message), 'notes' => self::$notes);
    if (self::$during !== NULL) {
      $error['during'] = self::$during;
    }
    if ($at !== NULL) {
      $error['at'] = $at;
    }
    $output = self::discardOutput();
    if ($output !== '') {
      $error['output'] = $output;
    }
    self::send(array('ok' => FALSE, 'error' => $error));
    exit(1);
  }

  /** The process ends and nothing was reported: an exit() deep in the core, a fatal error, no memory left. */
  public static function shutdown() {
    self::$reserve = '';
    if (self::$answered) {
      return;
    }
    $last = error_get_last();
    $fatal = E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_RECOVERABLE_ERROR;
    $error = $last !== NULL && ($last['type'] & $fatal)
      // The message may go on with a stack trace.
      ? array('code' => 'died', 'message' => self::plain(strtok($last['message'], "\n")), 'at' => "$last[file]:$last[line]")
      : array('code' => 'died', 'message' => 'the core ended PHP before the work was done');
    $error['notes'] = self::$notes;
    if (self::$during !== NULL) {
      $error['during'] = self::$during;
    }
    $output = self::discardOutput();
    if ($output !== '') {
      $error['output'] = $output;
    }
    self::send(array('ok' => FALSE, 'error' => $error));
    // Not now: exit() would skip the core's shutdown functions, which release its locks.
    register_shutdown_function(function () {
      exit(70);
    });
  }

  /** Text of a message that was meant for a web page, on one line. */
  public static function plain($text) {
    $text = preg_replace('/<[a-z\/!][^>]*>/i', ' ', (string) $text);
    $text = html_entity_decode($text === NULL ? '' : $text, ENT_QUOTES, 'UTF-8');
    return trim((string) preg_replace('/\s+/', ' ', $text));
  }

  private static function send(array $document) {
    $document['warnings'] = self::$warnings;
    $flags = JSON_UNESCAPED_SLASHES | JSON_PARTIAL_OUTPUT_ON_ERROR;
    if (defined('JSON_INVALID_UTF8_SUBSTITUTE')) {
      $flags |= constant('JSON_INVALID_UTF8_SUBSTITUTE');
    }
    self::$answered = TRUE;
    fwrite(self::$channel, json_encode($document, $flags) . "\n");
    fflush(self::$channel);
  }

  /** Ends all output buffers; answers with the end of what they held. */
  private static function discardOutput() {
    $output = '';
    while (ob_get_level() > 0) {
      $before = ob_get_level();
      $output = ob_get_contents() . $output;
      @ob_end_clean();
      if (ob_get_level() === $before) {
        break;
      }
    }
    $output = self::plain(substr($output, -20000));
    return strlen($output) > 800 ? '… ' . substr($output, -800) : $output;
  }

  /** To at least this many mebibytes; a higher limit stays. */
  private static function raiseMemoryLimit($mebibytes) {
    $limit = (string) ini_get('memory_limit');
    $units = array('K' => 1 / 1024, 'M' => 1, 'G' => 1024);
    $unit = strtoupper(substr($limit, -1));
    $current = isset($units[$unit]) ? (float) $limit * $units[$unit] : (float) $limit / 1048576;
    if ($limit !== '-1' && $current < $mebibytes) {
      ini_set('memory_limit', $mebibytes . 'M');
    }
  }

}
