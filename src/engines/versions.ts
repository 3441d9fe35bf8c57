/** How versions of cores, extensions, PHP and databases compare. Pure. */

interface Version {
  readonly numbers: readonly number[];
  /** A branch (`1.x-dev`): the numbers are only how it begins. */
  readonly open: boolean;
  /** Before (alpha, beta, rc) or after (patch level, commits since a tag) the release of these numbers. */
  readonly rank: number;
  readonly step: number;
}

const RANKS: Readonly<Record<string, number>> = { dev: 0, unstable: 1, alpha: 2, a: 2, beta: 3, b: 3, rc: 4, "": 5, pl: 6, p: 6, patch: 6 };
/** As drupal.org and Composer name releases: `7.x-3.29`, `8.x-1.0-rc1`, `2.0.1`, `7.x-1.2+3-dev`, `7.x-1.x-dev`, `7.103`. */
const RELEASE = /^v?(\d+(?:\.\d+)*)(\.x)?(?:-?(dev|unstable|alpha|a|beta|b|rc|pl|p|patch)[.-]?(\d*))?(?:\+(\d+)-dev|\+\S*)?$/i;

function parsed(text: string): Version | undefined {
  const match = RELEASE.exec(text.trim().replace(/^\d+\.x-(?=\d)/, ""));
  if (!match) return undefined;
  const [, numbers = "", open, word = "", step = "", commits] = match;
  const rank = commits === undefined ? (RANKS[open === undefined ? word.toLowerCase() : ""] ?? 5) : 6;
  return { numbers: numbers.split(".").map(Number), open: open !== undefined, rank, step: Number(commits ?? (step === "" ? 0 : step)) };
}

function compareNumbers(a: readonly number[], b: readonly number[], places = Math.max(a.length, b.length)): number {
  for (let index = 0; index < places; index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}

/**
 * -1, 0 or 1 as `a` is older than, the same as, or newer than `b`; undefined when that cannot be told: a branch and one of its releases,
 * or text that is no version. The core's own number in front (`7.x-`) does not count.
 */
export function compareVersions(a: string, b: string): -1 | 0 | 1 | undefined {
  if (a === b) return 0;
  const [one, other] = [parsed(a), parsed(b)];
  if (!one || !other) return undefined;
  if (one.open || other.open) {
    const places = Math.min(one.open ? one.numbers.length : 99, other.open ? other.numbers.length : 99);
    const begins = compareNumbers(one.numbers, other.numbers, places);
    return begins === 0 ? undefined : (begins as -1 | 1);
  }
  const difference = compareNumbers(one.numbers, other.numbers) || one.rank - other.rank || one.step - other.step;
  return Math.sign(difference) as -1 | 0 | 1;
}

/** The numbers that a version of PHP or of a database begins with, whatever a distribution adds: `8.2.36-1~deb12u1`. */
function numbersOf(version: string): readonly number[] {
  return (/\d+(?:\.\d+)*/.exec(version)?.[0] ?? "0").split(".").map(Number);
}

/** Whether a version of PHP, a database or a core is below `least`, by its numbers. */
export function isBelow(version: string, least: string): boolean {
  return compareNumbers(numbersOf(version), numbersOf(least)) < 0;
}

type Bound = readonly [sign: ">=" | "<" | "!=", numbers: readonly number[]];

/**
 * Composer's constraints, as far as extensions use them for core and PHP: `^10 || ^11`, `>=8.1`, `~8.7.0`, `8.*`, `8 - 9`. Stabilities are
 * left aside. Out: alternatives, all of whose bounds must hold; undefined for what cannot be read.
 */
function alternatives(constraint: string): readonly (readonly Bound[])[] | undefined {
  const found: Bound[][] = [];
  for (const alternative of constraint.split(/\s*\|\|?\s*/)) {
    const words = alternative
      .replace(/(\d\S*)\s+-\s+(\d\S*)/g, ">=$1 <=$2")
      .replace(/([<>=!^~])\s+/g, "$1")
      .split(/[\s,]+/)
      .filter((word) => word !== "");
    const bounds: Bound[] = [];
    for (const word of words) {
      const more = boundsOf(word);
      if (more === undefined) return undefined;
      bounds.push(...more);
    }
    found.push(bounds);
  }
  return found;
}

function boundsOf(word: string): readonly Bound[] | undefined {
  const match = /^(\^|~|>=|<=|>|<|!=|<>|==?|)v?(\d+(?:\.\d+)*|\*|x)((?:\.[x*])*)(?:[-@+][\w.+-]*)?$/i.exec(word);
  if (!match) return undefined;
  const [, sign = "", text = "", wild = ""] = match;
  if (/^[x*]$/i.test(text)) return [];
  const numbers = text.split(".").map(Number);
  const next = (place: number) => numbers.slice(0, place + 1).map((number, index) => (index === place ? number + 1 : number));
  const upTo = (place: number): readonly Bound[] => [
    [">=", numbers],
    ["<", next(place)],
  ];
  const after = [...numbers, ...Array(Math.max(0, 3 - numbers.length)).fill(0), 1] as readonly number[];
  switch (sign) {
    case "^": {
      const first = numbers.findIndex((number) => number > 0);
      return upTo(first === -1 ? numbers.length - 1 : first);
    }
    case "~":
      return upTo(Math.max(0, numbers.length - 2));
    case ">=":
      return [[">=", numbers]];
    case ">":
      return [[">=", after]];
    case "<":
      return [["<", numbers]];
    case "<=":
      return [["<", numbers.length < 3 ? next(numbers.length - 1) : after]];
    case "!=":
    case "<>":
      return [["!=", numbers]];
    default:
      return wild === ""
        ? [
            [">=", numbers],
            ["<", after],
          ]
        : upTo(numbers.length - 1);
  }
}

/** Whether a version (`10.4.9`; of `10.5.x-dev` its numbers) is one that the constraint allows; undefined for a constraint that cannot be read. */
export function satisfies(version: string, constraint: string): boolean | undefined {
  const numbers = numbersOf(version);
  return alternatives(constraint)?.some((bounds) =>
    bounds.every(([sign, bound]) => {
      const compared = compareNumbers(numbers, bound);
      return sign === ">=" ? compared >= 0 : sign === "<" ? compared < 0 : compared !== 0;
    }),
  );
}

/** The oldest version that a constraint allows; undefined for none, or what cannot be read. */
export function lowest(constraint: string): string | undefined {
  const lows = alternatives(constraint)?.map((bounds) =>
    bounds.reduce<readonly number[]>((low, [sign, bound]) => (sign === ">=" && compareNumbers(bound, low) > 0 ? bound : low), [0]),
  );
  const least = lows?.reduce((a, b) => (compareNumbers(a, b) <= 0 ? a : b));
  return least === undefined || compareNumbers(least, [0]) === 0 ? undefined : least.join(".");
}
