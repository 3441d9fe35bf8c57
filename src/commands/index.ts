import type { CommandDefinition } from "./definition.js";

/** Every command, in the order of the help. */
export const commands: readonly CommandDefinition[] = [];
