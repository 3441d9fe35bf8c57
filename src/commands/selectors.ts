import type { OptionDefinition } from "./definition.js";

/** Options of commands that work on many sites at once. */
export const SELECTORS: readonly OptionDefinition[] = [
  { flags: "--all", description: "every site of the hub" },
  { flags: "--platform <name>", description: "every site on this platform, or those of the names given" },
  { flags: "--client <name>", description: "every site of this client, or those of the names given" },
  { flags: "--jobs <number>", description: "work on so many at a time (default: 1)" },
];
