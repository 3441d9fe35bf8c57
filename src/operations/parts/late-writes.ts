import { ProvisionError } from "../../core/errors.js";
import type { Step } from "../../core/step.js";
import type { TableMarks } from "../../services/db/service.js";
import type { Services } from "../services.js";
import { matching } from "./copy.js";
import { databaseOf, type SiteInputs } from "./site.js";

/** What the tables of a generation are when its gate has just been closed. Its result is held against them by `lateWrites`. */
export function marksOf(inputs: SiteInputs, use: Services): Step<TableMarks> {
  return {
    id: "gate/marks",
    title: `State of the tables of ${inputs.site.uri}`,
    undoneBy: "gate/close",
    check: async () => ({ changes: ["note when each table was changed"] }),
    apply: async () => ({ ...(await use.db(inputs.dbServer).marks(databaseOf(inputs, use, inputs.dbServer))) }),
  };
}

/**
 * Nobody has written past the gate since: a program that does not ask settings.php, say, or a page that changes something when it is only fetched. What reads
 * are known to write is let go. Rejects with REFUSED, unless `accepted`.
 */
export function lateWrites(inputs: SiteInputs, use: Services, marks: Step<TableMarks>, accepted: boolean): Step {
  return {
    id: "gate/late-writes",
    title: "Nobody wrote past the closed gate",
    undoneBy: "gate/close",
    check: async () => ({ changes: ["compare the tables with what they were"] }),
    async apply(run) {
      const before = run.need(marks);
      const after = await use.db(inputs.dbServer).marks(databaseOf(inputs, use, inputs.dbServer), before);
      const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((table) => before[table] !== after[table]);
      const expected = new Set(matching(changed, use.engine(inputs.core.engine).tables.writtenByReads));
      const late = changed.filter((table) => !expected.has(table)).sort();
      if (late.length === 0) return { tables: [] };
      const what = `${inputs.site.uri} was written to while its gate was closed: ${late.join(", ")}`;
      if (!accepted)
        throw new ProvisionError("REFUSED", what, {
          why: ["what was written is not in the copy; whoever wrote did not ask settings.php, or a page writes when it is only fetched"],
          next: [
            `name the page in write_paths: provision save ${inputs.site.name} --write_paths=…`,
            "or let it go, when it may be lost: the same command with --accept-late-writes",
          ],
        });
      run.warn(`${what}; that is not in what serves now (--accept-late-writes)`);
      return { tables: late };
    },
  };
}
