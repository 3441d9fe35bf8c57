/**
 * Properties of Aegir 3 contexts (Provision_Context_* and Provision_Service_*) that a context here does not hold.
 * Scripts written for Aegir pass them: those that say nothing are let go with a warning, those that ask
 * for something are refused, so that nobody believes to have got it.
 */

/** Follows from other properties; `provision show` prints it. */
const DERIVED = [
  "aegir_root",
  "backup_path",
  "clients_path",
  "config_path",
  "http_app_path",
  "http_platformd_path",
  "http_platforms_path",
  "http_postd_path",
  "http_pred_path",
  "http_subdird_path",
  "http_vhostd_path",
  "include_path",
  "site_path",
  "sites_path",
  "ssld_path",
  "http_ssld_path",
];

/** Says something to Aegir's front end, to its drush or to its probes of the machine, and nothing here. */
const WITHOUT_MEANING = [
  "db_port",
  "drush_aliases",
  "file_service_type",
  "master_url",
  "nginx_config_mode",
  "nginx_has_etag",
  "nginx_has_gzip",
  "nginx_has_http2",
  "nginx_has_new_version",
  "nginx_has_upload_progress",
  "nginx_is_modern",
  "phpfpm_mode",
  "provision_db_cloaking",
  "satellite_mode",
  "subdirs_support",
  "utf8mb4_is_supported",
  "web_disable_url",
  "web_maintenance_url",
];

/** Asks for something that this version cannot do. */
const NOT_YET = [
  "cron_key",
  "http_basic_auth_username",
  "http_basic_auth_password",
  "http_basic_auth_message",
  "http_basic_auth_whitelist",
  "http_restart_cmd",
  "http_ssl_port",
  "install_method",
  "ip_addresses",
  "make_working_copy",
  "master_web_servers",
  "slave_web_servers",
  "ssl_key",
];

/** What is said by another property here. */
const OTHERWISE: ReadonlyMap<string, string> = new Map([["ssl_enabled", "ssl (1 is --ssl=on, 2 is --ssl=required)"]]);

/** Values of NOT_YET properties that ask for nothing: Aegir's defaults, which its front end always sends. */
const DEFAULTS: Readonly<Record<string, readonly string[]>> = { install_method: ["profile"], http_ssl_port: ["443"] };
const OFF = ["", "0", "false", "FALSE", "null", "NONE"];

/** What becomes of an Aegir property that is no property of ours: `ignored` and `refused` say why; undefined: Aegir has none of this name. */
export function aegirProperty(key: string, value: string): { readonly ignored: string } | { readonly refused: string } | undefined {
  if (DERIVED.includes(key)) return { ignored: "is derived from other properties (provision show prints it)" };
  if (WITHOUT_MEANING.includes(key)) return { ignored: "has no meaning here" };
  const otherwise = OTHERWISE.get(key);
  if (!NOT_YET.includes(key) && otherwise === undefined) return undefined;
  if (OFF.includes(value) || DEFAULTS[key]?.includes(value)) return { ignored: "is not kept; this is how it is anyway" };
  if (otherwise !== undefined) return { refused: `is a property of Aegir; here it is ${otherwise}` };
  return { refused: "is a property of Aegir that this version does not have yet" };
}
