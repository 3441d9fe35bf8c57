import { dirname, join } from "node:path";
import { clientWord } from "../context/names.js";
import { inUse } from "../context/references.js";
import type { Context } from "../context/schema.js";
import { ProvisionError } from "../core/errors.js";
import type { Operation } from "../core/step.js";
import { gone, moved, symlink } from "../steps/files.js";
import { type Baseline, baselineOf, differences } from "./parts/baseline.js";
import type { Services } from "./services.js";
import { inventoryFile } from "./verify-platform.js";

interface Inputs {
  readonly context: Context;
  /** Trees to set aside and then remove: from, to. */
  readonly trees: readonly (readonly [string, string])[];
  /** A link that goes first. */
  readonly link: string | null;
  readonly rest: readonly string[];
  readonly baseline: Baseline;
}

/** Deletes a platform, server or client that nothing refers to, with what provision made for it. */
export const deleteOther: Operation<{ readonly name: string }, Inputs, Services> = {
  name: "delete-other",
  recovery: "ask",

  async prepare({ name }, use, id) {
    const context = await use.store.need(name);
    if (context.context_type === "site") throw new ProvisionError("FAILED", `${name} is a site`);
    const { contexts } = await use.store.load();
    const used = inUse(name, contexts, use.settings);
    if (used) throw used;
    const { trees, link, rest } = await belongings(context, use, id);
    const paths = [...trees.map(([from]) => from), ...(link === null ? [] : [link]), use.layout.contextFile(name)];
    return {
      inputs: { context, trees, link, rest, baseline: await baselineOf(use.local, paths) },
      locks: [
        { kind: "hub", name: "hub", mode: "exclusive" },
        { kind: context.context_type, name, mode: "exclusive" },
      ],
    };
  },

  steps({ context, trees, link, rest }, use) {
    return [
      ...(link === null ? [] : [symlink(use.local, link, undefined, { id: "link", title: `Remove the link ${link}` })]),
      ...trees.map(([from, to], index) => moved(use.local, from, to, { id: `aside/${index}`, title: `Set ${from} aside` })),
      gone(use.local, [...trees.map(([, to]) => to), ...rest], { id: "remove", title: "Remove what provision made", phase: "finish" }),
      gone(use.local, [use.layout.secretsFile(context.name), use.layout.contextFile(context.name)], {
        id: "context/remove",
        title: `Remove ${context.name}`,
        phase: "finish",
      }),
    ];
  },

  confirm: ({ baseline }, use) => differences(use.local, baseline),
};

/** What provision made for a context, and may therefore take away. Code it did not build stays where it is. */
async function belongings(context: Context, use: Services, id: string): Promise<Pick<Inputs, "trees" | "link" | "rest">> {
  const aside = (path: string) => join(dirname(path), `.${path.slice(path.lastIndexOf("/") + 1)}.deleted-${id}`);
  switch (context.context_type) {
    case "platform": {
      const root = use.layout.resolve(context.root);
      const target = await use.local.readLink(root);
      const build = target === undefined ? undefined : await use.local.realPath(root);
      const ours = build?.startsWith(`${await use.local.realPath(use.layout.builds)}/`);
      return { trees: ours && build ? [[build, aside(build)]] : [], link: ours ? root : null, rest: [inventoryFile(use, context.name)] };
    }
    case "server": {
      const config = join(use.layout.config, context.name.slice(1));
      return { trees: [[config, aside(config)]], link: null, rest: [] };
    }
    default:
      return { trees: [], link: null, rest: [join(use.layout.clients, clientWord(context.name))] };
  }
}
