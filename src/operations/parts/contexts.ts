import { type Changes, rewrite } from "../../context/edit.js";
import type { ContextType } from "../../context/schema.js";
import type { Step } from "../../core/step.js";
import { file, type StepPlace } from "../../steps/files.js";
import type { Services } from "../services.js";

/** The alias file says these values; comments and order stay as they are. `claimed`: its text where a dry run has not written it. */
export function contextFile(use: Services, name: string, type: ContextType, changes: Changes, place: StepPlace, claimed?: string): Step {
  const path = use.layout.contextFile(name);
  return file(use.local, path, async () => rewrite((await use.store.source(name)) ?? claimed, type, changes, path), { mode: 0o644 }, place);
}
