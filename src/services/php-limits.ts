/** What PHP may take for a request, by the names of the contexts. */
export interface Limits {
  readonly php_memory_limit?: string | undefined;
  readonly php_max_execution_time?: number | undefined;
  readonly php_upload_max_filesize?: string | undefined;
  readonly php_post_max_size?: string | undefined;
  readonly php_max_input_vars?: number | undefined;
}

/** One setting of PHP. */
export interface Setting {
  readonly name: string;
  readonly value: string;
  /** PHP_VALUE, which code may change, and not PHP_ADMIN_VALUE. */
  readonly changeable: boolean;
}

/** Drupal asks for more time before long work. */
const SETTINGS: readonly (readonly [key: keyof Limits, setting: string, changeable: boolean])[] = [
  ["php_memory_limit", "memory_limit", false],
  ["php_max_execution_time", "max_execution_time", true],
  ["php_upload_max_filesize", "upload_max_filesize", false],
  ["php_post_max_size", "post_max_size", false],
  ["php_max_input_vars", "max_input_vars", false],
];

export const LIMIT_KEYS: readonly (keyof Limits)[] = SETTINGS.map(([key]) => key);

/** Limits as settings of PHP, in an order that does not change. */
export function settingsOf(limits: Limits): readonly Setting[] {
  return SETTINGS.flatMap(([key, name, changeable]) => {
    const value = limits[key];
    return value === undefined ? [] : [{ name, value: String(value), changeable }];
  });
}

/** Only what is said, the later over the earlier. */
export function limitsOf(...all: readonly Limits[]): Limits {
  return Object.fromEntries(all.flatMap((of) => LIMIT_KEYS.flatMap((key) => (of[key] === undefined ? [] : [[key, of[key]]]))));
}

/** The value of a FastCGI parameter by which a web server says settings; undefined for none. One line each. */
export function phpValue(settings: readonly Setting[], changeable: boolean): string | undefined {
  const lines = settings.filter((setting) => setting.changeable === changeable).map(({ name, value }) => `${name}=${value}`);
  return lines.length === 0 ? undefined : lines.join("\n");
}
