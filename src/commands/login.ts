import { ProvisionError } from "../core/errors.js";
import type { Action, CommandDefinition } from "./definition.js";

export const login: CommandDefinition = {
  name: "login",
  aliases: ["user-login", "uli", "provision-login-reset"],
  group: "site",
  summary: "print a one-time login link",
  description:
    "Prints a link that logs in once as an account of the site, the first by default. The link is data: it goes to standard output, and into no log.",
  arguments: [{ name: "<context>", description: "@site" }],
  options: [{ flags: "--uid <id>", description: "account id (default 1)" }],
  examples: [{ line: "provision login @example.com", says: "the first account" }],
  load: async () => ({ run }),
};

const run: Action = async ({ arguments: [word = ""], options, session }) => {
  const { contextOfType, openHub } = await import("./hub.js");
  const { askSite } = await import("../operations/ask-site.js");
  const uid = Number(options["uid"] ?? 1);
  if (!Number.isInteger(uid) || uid < 1) throw new ProvisionError("USAGE", `--uid=${String(options["uid"])} is not an account id`);
  const use = await openHub(session);
  const { name } = await contextOfType(use, word, ["site"], "login");
  const { result } = await askSite(use, name, "login", session.common.lockWait, session.stop, ({ engine, code }) =>
    engine.login(code, uid),
  );
  await session.answer({ command: "login", target: name }, { url: result.url }, [result.url]);
};
