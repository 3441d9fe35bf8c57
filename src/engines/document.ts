/** Readers for the documents that bridge scripts send: each gives the value, or says where it is not as agreed. */

export class DocumentError extends Error {}

export type Fields = Readonly<Record<string, unknown>>;

export function fields(value: unknown, where: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new DocumentError(`${where} is not an object`);
  return value as Fields;
}

export function list(of: Fields, name: string): readonly unknown[] {
  const value = of[name];
  if (!Array.isArray(value)) throw new DocumentError(`${name} is not a list`);
  return value;
}

export function text(of: Fields, name: string): string {
  const value = of[name];
  if (typeof value !== "string") throw new DocumentError(`${name} is not a string`);
  return value;
}

/** PHP's NULL, or no such field, is undefined. */
export function optionalText(of: Fields, name: string): string | undefined {
  return of[name] === null || of[name] === undefined ? undefined : text(of, name);
}

export function integer(of: Fields, name: string): number {
  const value = of[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw new DocumentError(`${name} is not a whole number`);
  return value;
}

export function optionalInteger(of: Fields, name: string): number | undefined {
  return of[name] === null || of[name] === undefined ? undefined : integer(of, name);
}

export function flag(of: Fields, name: string): boolean {
  const value = of[name];
  if (typeof value !== "boolean") throw new DocumentError(`${name} is not a boolean`);
  return value;
}

export function texts(of: Fields, name: string): readonly string[] {
  return list(of, name).map((value) => {
    if (typeof value !== "string") throw new DocumentError(`${name} holds something else than strings`);
    return value;
  });
}
