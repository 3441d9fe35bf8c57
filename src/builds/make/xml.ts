/** An element of the small, regular XML that update servers send. */
export interface XmlElement {
  readonly name: string;
  readonly children: readonly XmlElement[];
  /** Its own text, trimmed. */
  readonly text: string;
}

const TOKEN =
  /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[([\s\S]*?)\]\]>|<!DOCTYPE[^>]*>|<\/([^\s>]+)\s*>|<([A-Za-z_][^\s/>]*)((?:"[^"]*"|'[^']*'|[^>"'])*?)(\/?)>|([^<]+)/g;

interface Open {
  readonly name: string;
  readonly children: XmlElement[];
  text: string;
}

/**
 * Reads elements and text; attributes, comments and entity declarations are passed over (nothing is ever expanded
 * but the five entities of XML and character numbers).
 *
 * Out: the root, or `undefined` when the text is no XML document or breaks off.
 */
export function parseXml(source: string): XmlElement | undefined {
  const top: Open = { name: "", children: [], text: "" };
  const open: Open[] = [top];
  for (const [whole, cdata, closed, opened, , empty, text] of source.matchAll(TOKEN)) {
    const current = open.at(-1) as Open;
    if (cdata !== undefined) current.text += cdata;
    else if (text !== undefined) current.text += decoded(text);
    else if (opened !== undefined) {
      const element: Open = { name: opened, children: [], text: "" };
      if (empty === "/") current.children.push(finished(element));
      else open.push(element);
    } else if (closed !== undefined) {
      if (open.length === 1 || current.name !== closed) return undefined;
      open.pop();
      (open.at(-1) as Open).children.push(finished(current));
    } else if (!whole.startsWith("<")) return undefined;
  }
  return open.length === 1 ? top.children[0] : undefined;
}

function finished({ name, children, text }: Open): XmlElement {
  return { name, children, text: text.trim() };
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function decoded(text: string): string {
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos));/g,
    (whole, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return ENTITIES[name] ?? whole;
      const point = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal);
      return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
    },
  );
}

export function child(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((inner) => inner.name === name);
}

export function childText(element: XmlElement, name: string): string | undefined {
  const text = child(element, name)?.text;
  return text === "" ? undefined : text;
}
