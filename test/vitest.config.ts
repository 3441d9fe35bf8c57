import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that take half a minute and more, the longest first. */
const LONG = [
  "e2e/kill",
  "e2e/php-pools",
  "e2e/certificates",
  "ssh/services",
  "ssh/moves-services",
  "ssh/moves",
  "ssh/spoke",
  "ssh/faults",
  "ssh/cluster-moves",
  "ssh/cluster",
  "ssh/kill",
  "e2e/engine-kill",
  "e2e/bad-input",
  "e2e/backup",
  "e2e/migrate-faults-servers",
  "e2e/migrate-faults",
  "e2e/rehearse-kill",
  "e2e/rehearse",
  "e2e/lifecycle",
  "e2e/web-servers",
  "e2e/migrate-kill",
  "e2e/databases-kill",
  "e2e/web-probes",
  "e2e/web-servers-move",
  "e2e/backup-kill",
  "e2e/json",
  "e2e/faults",
  "contract/db",
  "e2e/matrix",
];

/** The long ones first, or the last of them would run alone in the end; a clean checkout knows only how large the files are. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = LONG.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return found < 0 ? LONG.length : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One more than CI has cores: half of the time of most tests is waiting for programs and disks.
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
  },
});
