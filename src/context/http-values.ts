import { isIP } from "node:net";

/** What may reach the configuration of a web server beside names and paths. Each answers with what is wrong, or undefined. */

/** An address, or a network as address and length. */
export function addressProblem(value: string): string | undefined {
  const [address = "", length, ...more] = value.split("/");
  const family = isIP(address);
  if (family === 0 || more.length > 0 || address.includes("%")) return "is neither an IP address nor a network as 192.0.2.0/24";
  if (length === undefined) return undefined;
  return /^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128) ? undefined : "has no such length of a network";
}

/** `Name: value`; what a web server would read as a variable of its own is refused, so that all serve the same. */
export function headerProblem(value: string): string | undefined {
  if (/\p{Cc}/u.test(value)) return "holds a control character";
  const [, name, content] = /^([A-Za-z0-9-]{1,64}): (.*)$/.exec(value) ?? [];
  if (name === undefined || content === undefined || content.trim() === "") return "is not a header as Name: value";
  if (!/^[\x20-\x7e]*$/.test(content)) return "holds a character other than those of ASCII";
  if (content.includes("$")) return "holds a $, which nginx takes for a variable";
  if (content.length > 4000) return "is longer than 4000 characters";
  return /^(?:content-(?:length|encoding)|transfer-encoding|connection|set-cookie|location|status|x-provision-.*)$/i.test(name)
    ? "is a header that the server or Drupal sends itself"
    : undefined;
}

export function messageProblem(value: string): string | undefined {
  return /^[A-Za-z0-9 ._,:!()-]{1,100}$/.test(value) ? undefined : "may hold letters, digits, spaces and . _ , : ! ( ) - only";
}

/** A PHP file below the docroot. */
export function phpPathProblem(value: string): string | undefined {
  if (!/^[A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_.-]+)*\.php$/.test(value)) return "is not the path of a PHP file relative to the docroot";
  if (value.split("/").some((part) => part.startsWith("."))) return "may not hold .. or a hidden directory";
  if (/(?:^|\/)install\.php$/i.test(value)) return "is an installer, which visitors never reach";
  return /^sites\/(?:[^/]+\/)?files\//.test(value) ? "is among the files that PHP writes itself" : undefined;
}

function snippetProblem(value: string): string | undefined {
  if (/[^\P{Cc}\n\t]/u.test(value)) return "holds a control character";
  return value.length > 65_536 ? "is longer than 65536 characters" : undefined;
}

/** Lines that end what they begin: none can close the block that they stand in. */
export function nginxSnippetProblem(value: string): string | undefined {
  const wrong = snippetProblem(value);
  if (wrong !== undefined) return wrong;
  let depth = 0;
  let word = false;
  for (let at = 0; at < value.length; at++) {
    const character = value[at] as string;
    if (character === "\\") at++;
    else if (character === "#" && !word) {
      at = value.indexOf("\n", at);
      if (at < 0) break;
    } else if ((character === '"' || character === "'") && !word) {
      let end = at + 1;
      while (end < value.length && value[end] !== character) end += value[end] === "\\" ? 2 : 1;
      if (end >= value.length) return "begins a quoted word and does not end it";
      at = end;
    } else if (character === "{" && value[at - 1] !== "$") depth++;
    else if (character === "}" && !/\$\{\w*$/.test(value.slice(0, at)) && --depth < 0) return "ends a block that it did not begin";
    word = !/[\s;{}]/.test(character);
  }
  if (depth > 0) return "begins a block and does not end it";
  return /(?:^|[\s;{}])(?:listen|server_name|ssl_certificate\w*)\s/.test(value.replace(/#.*/g, ""))
    ? "holds listen, server_name or ssl_certificate, which are the vhost's own"
    : undefined;
}

/** The same for Apache; a section ends where it began. */
export function apacheSnippetProblem(value: string): string | undefined {
  const wrong = snippetProblem(value);
  if (wrong !== undefined) return wrong;
  const open: string[] = [];
  // A line that ends with a backslash goes on in the next.
  for (const line of value.replace(/\\\n/g, "").split("\n")) {
    const [, end, name] = /^\s*<(\/?)\s*([A-Za-z!]+)/.exec(line) ?? [];
    if (name === undefined) continue;
    if (end === "") open.push(name.toLowerCase());
    else if (open.pop() !== name.toLowerCase()) return "ends a section that it did not begin";
    if (/^(?:virtualhost|ifdefine)$/i.test(name)) return `holds <${name}>, which has no place in a vhost`;
  }
  if (/\\$/.test(value)) return "ends with a backslash, which would take the next line along";
  return open.length > 0 ? "begins a section and does not end it" : undefined;
}
