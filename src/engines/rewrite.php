<?php

/**
 * Replaces names of files and pages in stored values: whole names only, and never the text of serialized data.
 *
 * Knows no core: it is given a schema as Drupal 7's hook_schema() describes it, and a function that runs a query.
 *
 * Syntax: PHP 7.0, for old platforms run on old PHP.
 */
final class ProvisionRewrite {

  /** What it holds of other strings is too deep to be anything but a loop. */
  const MAX_DEPTH = 64;

  private $map = array();
  private $needles = array();
  private $pattern;

  /** @param array $pairs Of arrays with from and to. */
  public function __construct(array $pairs) {
    foreach ($pairs as $pair) {
      foreach (array($pair, self::asInJson($pair)) as $variant) {
        if ($variant['from'] !== '' && $variant['from'] !== $variant['to']) {
          $this->map[$variant['from']] = $variant['to'];
        }
      }
    }
    $this->needles = array_map('strval', array_keys($this->map));
    // A second run must not find `from` at the beginning of what the first one wrote.
    foreach ($this->map as $from => $to) {
      if (strpos($to, (string) $from) === 0 && !isset($this->map[$to])) {
        $this->map[$to] = $to;
      }
    }
    $names = array_map('strval', array_keys($this->map));
    usort($names, function ($a, $b) {
      return strlen($b) - strlen($a);
    });
    $alternatives = array_map(function ($name) {
      // Not in sites/old.example.org, http://old.example:8080 or sites/old.example-2; but in «see http://old.example.»
      return preg_quote($name, '~') . (substr($name, -1) === '/' ? '' : '(?![A-Za-z0-9_@-]|\.[A-Za-z0-9]|:\d)');
    }, $names);
    // Not in my-sites/old.example, nor after the dot of www.
    $this->pattern = '~(?<![A-Za-z0-9_.-])(?:' . implode('|', $alternatives) . ')~';
  }

  /** Slashes have a backslash in JSON as PHP writes it. */
  private static function asInJson(array $pair) {
    return array('from' => str_replace('/', '\/', $pair['from']), 'to' => str_replace('/', '\/', $pair['to']));
  }

  /** @param int $changed Grows by the number of places. */
  public function text($text, &$changed) {
    if (!$this->map) {
      return $text;
    }
    return preg_replace_callback($this->pattern, function ($match) use (&$changed) {
      $to = $this->map[$match[0]];
      $changed += $to === $match[0] ? 0 : 1;
      return $to;
    }, $text);
  }

  /**
   * A value as it is stored, serialized or not.
   *
   * @param int $changed Grows by the number of places.
   * @param int $left Grows by the number of places that a change would not be safe in.
   */
  public function stored($raw, &$changed, &$left, $depth = 0) {
    if (!preg_match('/^(?:N;|[bid]:[^;]*;|[asOCE]:\d+:)/', $raw)) {
      return $this->text($raw, $changed);
    }
    // No class is made of it, but plain objects; the others are carried through as they are.
    $value = @unserialize($raw, array('allowed_classes' => array('stdClass')));
    if (($value === FALSE && $raw !== 'b:0;') || $depth > self::MAX_DEPTH) {
      $this->text($raw, $left);
      return $raw;
    }
    $before = $changed;
    $value = $this->value($value, $changed, $left, $depth + 1);
    return $changed === $before ? $raw : serialize($value);
  }

  /** A value as PHP has it: strings in arrays and plain objects. Counts as stored() does. */
  public function value($value, &$changed, &$left, $depth = 0) {
    if (is_string($value)) {
      return $this->stored($value, $changed, $left, $depth);
    }
    if ((is_array($value) || is_object($value)) && $depth > self::MAX_DEPTH) {
      $left++;
      return $value;
    }
    if (is_array($value)) {
      foreach ($value as $key => $item) {
        $this->text((string) $key, $left);
        $value[$key] = $this->value($item, $changed, $left, $depth + 1);
      }
    }
    elseif ($value instanceof stdClass) {
      foreach (get_object_vars($value) as $key => $item) {
        $value->$key = $this->value($item, $changed, $left, $depth + 1);
      }
    }
    elseif (is_object($value)) {
      $this->text(serialize($value), $left);
    }
    return $value;
  }

  /**
   * All texts of all tables.
   *
   * @param array $schema By table, as hook_schema() has it.
   * @param string $driver mysql, pgsql or sqlite.
   * @param callable $query Runs a query with {table} and :argument, and gives rows as objects.
   * @param array $named Tables whose rows have a name of their own: table to column.
   *
   * @return array changed and left: lists of arrays with where and count, which is of rows.
   */
  public function tables(array $schema, $driver, $query, array $named = array()) {
    $changed = $left = array();
    ksort($schema);
    foreach ($this->map ? $schema : array() as $table => $definition) {
      $key = self::key($definition);
      foreach ($definition['fields'] as $column => $field) {
        if (!in_array($field['type'], array('char', 'varchar', 'text', 'blob'), TRUE)) {
          continue;
        }
        foreach ($this->rows($table, $column, $field, $key, $driver, $query) as $row) {
          $where = isset($named[$table]) && isset($row->{$named[$table]}) ? $table . ' ' . $row->{$named[$table]} : "$table.$column";
          $places = $unsafe = 0;
          $old = $row->provision_value;
          $new = $this->stored($old, $places, $unsafe);
          if ($places > 0 && (!$key || in_array($column, $key, TRUE) || !self::fits($new, $field, $driver))) {
            $unsafe += $places;
            $places = 0;
          }
          if ($places > 0) {
            self::write($table, $column, $field, $key, $driver, $query, $row, $new);
            $changed[$where] = isset($changed[$where]) ? $changed[$where] + 1 : 1;
          }
          if ($unsafe > 0) {
            $left[$where] = isset($left[$where]) ? $left[$where] + 1 : 1;
          }
        }
      }
    }
    return array('changed' => self::places($changed), 'left' => self::places($left));
  }

  /** Rows whose column holds one of the names somewhere: the key's columns, and provision_value. One at a time, they may be large. */
  private function rows($table, $column, array $field, array $key, $driver, $query) {
    $name = self::quoted($column, $driver);
    $conditions = $arguments = array();
    foreach ($this->needles as $index => $needle) {
      $arguments[":needle$index"] = $needle;
      if ($driver === 'pgsql') {
        $conditions[] = $field['type'] === 'blob' ? "POSITION(CONVERT_TO(:needle$index, 'UTF8') IN $name) > 0" : "STRPOS($name, :needle$index) > 0";
      }
      else {
        $conditions[] = "INSTR($name, :needle$index) > 0";
      }
    }
    $condition = implode(' OR ', $conditions);
    if (!$key) {
      foreach ($query("SELECT $name AS provision_value FROM {{$table}} WHERE $condition", $arguments) as $row) {
        $row->provision_value = self::bytes($row->provision_value);
        yield $row;
      }
      return;
    }
    $columns = implode(', ', array_map(function ($each) use ($driver) {
      return self::quoted($each, $driver);
    }, $key));
    // All keys first: what is read must not change while it is being read.
    $rows = array();
    foreach ($query("SELECT $columns FROM {{$table}} WHERE $condition", $arguments) as $row) {
      $rows[] = $row;
    }
    foreach ($rows as $row) {
      list($where, $arguments) = self::ofKey($key, $row, $driver);
      foreach ($query("SELECT $name AS provision_value FROM {{$table}} WHERE $where", $arguments) as $found) {
        $row->provision_value = self::bytes($found->provision_value);
        yield $row;
      }
    }
  }

  private static function write($table, $column, array $field, array $key, $driver, $query, $row, $new) {
    list($where, $arguments) = self::ofKey($key, $row, $driver);
    $value = ':provision_value';
    if ($driver === 'pgsql' && $field['type'] === 'blob') {
      $value = "DECODE(:provision_value, 'hex')";
      $new = bin2hex($new);
    }
    $query("UPDATE {{$table}} SET " . self::quoted($column, $driver) . " = $value WHERE $where", $arguments + array(':provision_value' => $new));
  }

  private static function ofKey(array $key, $row, $driver) {
    $where = $arguments = array();
    foreach ($key as $index => $column) {
      $where[] = self::quoted($column, $driver) . " = :key$index";
      $arguments[":key$index"] = $row->$column;
    }
    return array(implode(' AND ', $where), $arguments);
  }

  /** Columns that name one row; none when the table has no primary key. */
  private static function key(array $definition) {
    return array_map(function ($column) {
      // Of a long text only so many characters are part of the key.
      return is_array($column) ? $column[0] : $column;
    }, isset($definition['primary key']) ? array_values($definition['primary key']) : array());
  }

  /** MySQL would cut it off, or refuse it, by its strictness. */
  private static function fits($value, array $field, $driver) {
    if (isset($field['length']) && in_array($field['type'], array('char', 'varchar'), TRUE)) {
      return preg_match_all('/./su', $value, $ignored) <= $field['length'];
    }
    if ($driver !== 'mysql') {
      return TRUE;
    }
    $size = isset($field['size']) ? $field['size'] : 'normal';
    $limits = array('tiny' => 255, 'small' => 255, 'normal' => 65535, 'medium' => 16777215);
    // A column may have been declared by its own type; then nobody knows.
    return !isset($limits[$size]) || strlen($value) <= $limits[$size];
  }

  private static function quoted($column, $driver) {
    return $driver === 'mysql' ? "`$column`" : "\"$column\"";
  }

  /** PostgreSQL hands out bytes as a stream. */
  private static function bytes($value) {
    return is_resource($value) ? stream_get_contents($value) : (string) $value;
  }

  private static function places(array $counts) {
    $places = array();
    foreach ($counts as $where => $count) {
      $places[] = array('where' => (string) $where, 'count' => $count);
    }
    return $places;
  }

}
