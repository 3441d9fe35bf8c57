import { userInfo } from "node:os";
import { z } from "zod";
import { aliasProblem, contextNameProblem, machineNameProblem, pathProblem, uriProblem } from "./names.js";

/**
 * What a context file may hold: Aegir's property names and defaults (reference: Aegir's
 * Provision_Context_{server,platform,site}), flat, snake_case. The descriptions become the help of
 * `save`, the JSON Schema files in `schemas/` and the contexts reference; the examples in `aliases/` are
 * checked against them.
 */

function text(problem: (value: string) => string | undefined, example: string) {
  return z.string().superRefine((value, check) => {
    const wrong = problem(value);
    if (wrong) check.addIssue({ code: "custom", message: `${JSON.stringify(shortened(value))} ${wrong}; for example ${example}` });
  });
}

function shortened(value: string): string {
  return value.length > 80 ? `${value.slice(0, 77)}…` : value;
}

const line = (example: string) =>
  text(
    (value) => (/\p{Cc}/u.test(value) ? "holds a control character" : value.length > 255 ? "is longer than 255 characters" : undefined),
    example,
  );
const reference = (example: string) =>
  text((value) => (value.startsWith("@") ? contextNameProblem(value.slice(1)) : "does not begin with @"), example);
const user = text((value) => (/^[a-z_][a-z0-9_-]{0,31}\$?$/.test(value) ? undefined : "is not a user name"), "aegir");
const email = text(
  (value) => (/^[^\s@'"<>;,\\]+@[^\s@'"<>;,\\]+$/.test(value) ? undefined : "is not an e-mail address"),
  "webmaster@example.com",
);
const port = z.number().int().min(1).max(65535);
const php = text(
  (value) => (/^\d+\.\d+$/.test(value) || value.startsWith("/") ? pathProblem(value) : "is neither a version nor an absolute path"),
  '"8.2" or /usr/bin/php8.2',
);

export const serverSchema = z.strictObject({
  context_type: z.literal("server"),
  remote_host: z
    .string()
    .refine((host) => host === "localhost" || host === "127.0.0.1", "only this machine (localhost) can be a server in this version")
    .default("localhost")
    .describe("Host name of the machine."),
  script_user: user.default(() => userInfo().username).describe("User that provision runs as; owns platforms and sites."),
  web_group: user.optional().describe("Group of the web server; site files are writable through it. Default: the group of script_user."),
  admin_email: email.optional().describe("Address for mail about the server; default site mail."),
  http_service_type: z
    .enum(["php", "none"])
    .default("none")
    .describe("Web server. php: PHP's own server, started by `provision serve`; needs nothing installed or root."),
  http_port: port.default(80).describe("Port of the web server."),
  db_service_type: z.enum(["sqlite", "none"]).default("none").describe("Database. sqlite: one file per site, needs no server."),
  php: php.optional().describe("PHP for platforms that name none: a version or the path of its command line program."),
});

export const platformSchema = z.strictObject({
  context_type: z.literal("platform"),
  root: text(pathProblem, "platforms/d7").describe("Drupal root, relative to the hub or absolute."),
  makefile: text((value) => (/^https?:\/\/[^\s'"`$;<>\\]+$/.test(value) ? undefined : pathProblem(value)), "makes/d7.make")
    .optional()
    .describe("Make file (path or URL) that builds the platform when root is missing. Without it root must exist."),
  server: reference("@server_master").default("@server_master").describe("Server that holds the code."),
  web_server: reference("@server_master").default("@server_master").describe("Server that serves the platform's sites."),
  php: php.optional().describe("PHP of this platform: a version or the path of its command line program."),
  locked: z.boolean().default(false).describe("A locked platform takes no new sites (`provision lock`)."),
});

export const siteSchema = z.strictObject({
  context_type: z.literal("site"),
  uri: text(uriProblem, "example.com").describe("Host name of the site, optionally with one /segment."),
  platform: reference("@platform_d7").describe("Platform that the site runs on."),
  db_server: reference("@server_master").default("@server_master").describe("Server that holds the database."),
  client_name: text(contextNameProblem, "acme").describe("Client that the site belongs to: acme is @client_acme. Default: the hub's."),
  profile: text(machineNameProblem, "standard").default("standard").describe("Install profile."),
  language: text((value) => (/^[a-z]{2,8}(-[a-z0-9]{1,8})*$/.test(value) ? undefined : "is not a language code"), "en")
    .default("en")
    .describe("Language of the installation."),
  site_name: line("My site").optional().describe("Name of the site when it is installed. Default: the uri."),
  site_mail: email
    .optional()
    .describe("Mail address of the site and of its first account. Default: the server's admin_email, or webmaster@ the host."),
  aliases: z
    .array(text(aliasProblem, "www.example.com"))
    .default([])
    .describe("Other host names of the site; *.example.com takes all below."),
  redirection: text(uriProblem, "example.com")
    .optional()
    .describe("Name that all others are redirected to: the uri or one of the aliases."),
  site_enabled: z.boolean().default(true).describe("A disabled site answers 503 (`provision disable`)."),
  generation: text(
    (value) => (/^[0-9]{8}T[0-9]{6}-[0-9a-f]{4,8}$/.test(value) ? undefined : "is not an operation id"),
    "20261123T091500-7f3a",
  )
    .optional()
    .describe("Generation the site serves from; written by install. Without it the site is not installed."),
});

export const clientSchema = z.strictObject({
  context_type: z.literal("client"),
  email: email.optional().describe("Address of the client."),
  max_sites: z.number().int().min(0).optional().describe("Most sites this client may have. Default: no limit."),
});

export const hubSchema = z.strictObject({
  client: text(contextNameProblem, "admin").default("admin").describe("Client of sites that name none: admin is @client_admin."),
  mirrors: z
    .record(z.string(), z.string())
    .default({})
    .describe("URL prefix → local directory (absolute or relative to the hub) or other URL, for builds."),
});

export const schemas = { server: serverSchema, platform: platformSchema, site: siteSchema, client: clientSchema } as const;

export type ContextType = keyof typeof schemas;
export const CONTEXT_TYPES = Object.keys(schemas) as readonly ContextType[];

interface Named {
  /** With its `@`. */
  readonly name: string;
}
export type Server = Readonly<z.output<typeof serverSchema>> & Named;
export type Platform = Readonly<z.output<typeof platformSchema>> & Named;
export type Site = Readonly<z.output<typeof siteSchema>> & Named;
export type Client = Readonly<z.output<typeof clientSchema>> & Named;
export type Context = Server | Platform | Site | Client;
export type HubSettings = Readonly<z.output<typeof hubSchema>>;
