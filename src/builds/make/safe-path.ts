/** Why a path or name out of a make file may not be used below a directory of ours; `undefined` when it may. */
export function unsafePath(path: string): string | undefined {
  if (path.includes("\0") || /[\n\r]/.test(path)) return "it holds a line end or NUL";
  if (path.startsWith("/")) return "it is absolute";
  if (path.startsWith("~")) return "it starts with ~";
  if (path.includes("\\")) return "it holds a backslash";
  if (path.length > 1024) return "it is longer than 1024 characters";
  const parts = path.split("/");
  if (parts.some((part) => part === "." || part === "..")) return "it holds . or ..";
  if (parts.some((part) => part.length > 255)) return "a part of it is longer than 255 characters";
  if (parts.some((part) => part.toLowerCase() === ".git")) return "it leads into a .git directory";
  return undefined;
}

/** A name is one part of a path. */
export function unsafeName(name: string): string | undefined {
  if (name === "") return "it is empty";
  if (name.includes("/")) return "it holds a slash";
  if (name.startsWith("-")) return "it starts with - and could be taken for an option";
  return unsafePath(name);
}

/** Paths with `..` that stay inside (`sites/all/../all`) are in real make files: brought to their short form; `undefined` when they leave. */
export function insideTree(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}
