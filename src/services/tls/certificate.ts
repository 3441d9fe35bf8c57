import { createPrivateKey, X509Certificate } from "node:crypto";

/** What a certificate says of itself. Times are milliseconds since the epoch. */
export interface Certificate {
  /** Host names and addresses that it is for, as they stand in it. */
  readonly names: readonly string[];
  /** Common name of who issued it, or else its organisation. */
  readonly issuer: string;
  readonly selfSigned: boolean;
  readonly from: number;
  readonly until: number;
}

const DAY = 24 * 60 * 60 * 1000;

/** The first certificate of a PEM text. Throws what OpenSSL says of a text that is none. */
export function readCertificate(pem: string): Certificate {
  const found = new X509Certificate(pem);
  return {
    names: (found.subjectAltName ?? "")
      .split(", ")
      .map((name) => /^(?:DNS|IP Address):"?([^"]*)"?$/.exec(name)?.[1])
      .filter((name) => name !== undefined),
    issuer: /^CN=(.+)$/m.exec(found.issuer)?.[1] ?? /^O=(.+)$/m.exec(found.issuer)?.[1] ?? found.issuer.replaceAll("\n", ", "),
    selfSigned: found.issuer === found.subject && found.verify(found.publicKey),
    from: Date.parse(found.validFrom),
    until: Date.parse(found.validTo),
  };
}

/** Whether this is the key of the certificate; false too for what is no certificate or no key that can be read. */
export function isPair(certificate: string, key: string): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

/** Those of `names` that the certificate does not have, letter by letter: it has a wildcard only where one was asked for. */
export function uncovered({ names }: Pick<Certificate, "names">, wanted: readonly string[]): readonly string[] {
  const has = new Set(names.map((name) => name.toLowerCase()));
  return wanted.filter((name) => !has.has(name));
}

/** A third of its lifetime is left, or less: time for a new one. */
export function isDue({ from, until }: Pick<Certificate, "from" | "until">, now: number): boolean {
  return until - now <= (until - from) / 3;
}

/** Two weeks are left, or of a short life a sixth: by then a renewal should long have come. */
export function isNearEnd({ from, until }: Pick<Certificate, "from" | "until">, now: number): boolean {
  return until - now <= Math.min(14 * DAY, (until - from) / 6);
}

/** Whole days; negative when it is past. */
export function daysLeft({ until }: Pick<Certificate, "until">, now: number): number {
  return Math.floor((until - now) / DAY);
}
