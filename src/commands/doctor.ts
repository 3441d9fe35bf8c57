import { ProvisionError } from "../core/errors.js";
import type { Action, CommandDefinition } from "./definition.js";

export const doctor: CommandDefinition = {
  name: "doctor",
  group: "hub",
  summary: "say what is missing, and the package that has it",
  description:
    "Looks at programs, PHP's extensions, directories, contexts, services and unfinished operations. Changes nothing. Exit 6 when something is wrong. Works without a hub too, for the programs.",
  examples: [{ line: "provision doctor", says: "before the first site, and when something is odd" }],
  load: async () => ({ run }),
};

const run: Action = async ({ session }) => {
  const { openHub } = await import("./hub.js");
  const { findingsData, hubFindings, programFindings } = await import("../operations/health.js");
  const { LocalHost } = await import("../host/local.js");
  const { Scope } = await import("../core/scope.js");
  const findings = await openHub(session).then(hubFindings, (error: unknown) => {
    if (error instanceof ProvisionError && error.code === "HUB_NOT_FOUND" && session.common.hub === undefined)
      return programFindings({ local: new LocalHost(new Scope()) });
    throw error;
  });
  const wrong = findings.filter(({ ok }) => !ok);
  const lines = findings.map(
    ({ ok, note, message, fix }) => `${note ? "·" : ok ? "✔" : "✖"} ${message}${fix === undefined ? "" : `\n    ${fix}`}`,
  );
  await session.subject({ command: "doctor", target: undefined }, async (emit) => {
    emit({ type: "data", data: { findings: findingsData(findings) } });
    emit({ type: "text", lines });
    if (wrong.length > 0) {
      const error = new ProvisionError("PROBLEMS_FOUND", `${wrong.length} of ${findings.length} checks found something wrong`, {
        why: wrong.map(({ message }) => message),
        state: "nothing was changed",
        next: [...new Set(wrong.flatMap(({ fix }) => (fix === undefined ? [] : [fix])))],
      });
      emit({ type: "failed", error, outcome: "failed", exit: error.exit });
    }
  });
};
