import { ProvisionError } from "./errors.js";

interface Waiting {
  readonly member: unknown;
  readonly signal: AbortSignal;
  readonly go: (refused: unknown) => void;
}

/** Members that wait at one place at most; their locks stay taken meanwhile, and each lock is an open file. */
const CROWD = 200;
/** Milliseconds after which those who wait go on without the others. */
const PATIENCE = 30_000;

/**
 * Operations of one run, so many at a time, that may meet: what is the same work for one and for all is done once, when nobody
 * else can come any more. Who waits for the others gives its place to the next.
 */
export class Gathering {
  readonly #meetings = new Map<string, { readonly all: Waiting[]; readonly act: () => Promise<void>; readonly timer: NodeJS.Timeout }>();
  readonly #next: (() => void)[] = [];
  readonly #places: number;
  #working = 0;

  constructor(places: number) {
    this.#places = places;
  }

  /** One operation from its beginning to its end. Those that are called together begin in this order. */
  async run(operation: () => Promise<void>): Promise<void> {
    await this.#enter();
    try {
      await operation();
    } finally {
      this.#leave();
    }
  }

  /**
   * Waits at `place` for all who may still come; then `act` is called once with what each brought, and says for each why it was
   * refused (undefined: it was not). Called inside run().
   *
   * Rejects with what this member was refused for, or with STOPPED.
   */
  async meet<T>(
    place: string,
    member: T,
    signal: AbortSignal,
    act: (members: readonly T[]) => Promise<ReadonlyMap<T, unknown>>,
  ): Promise<void> {
    const refused = await new Promise<unknown>((go) => {
      const all = this.#meetings.get(place)?.all ?? this.#open(place, act);
      all.push({ member, signal, go });
      signal.addEventListener("abort", () => void this.#hold(place), { once: true });
      if (all.length >= CROWD || signal.aborted) this.#hold(place);
      this.#leave();
    });
    await this.#enter();
    if (refused !== undefined) throw refused;
  }

  /** Waits for what others of this run have to give back; they go on meanwhile, those that wait at a place too when nobody else can come. Called inside run(). */
  async aside<T>(waited: () => Promise<T>): Promise<T> {
    this.#leave();
    try {
      return await waited();
    } finally {
      await this.#enter();
    }
  }

  #open<T>(place: string, act: (members: readonly T[]) => Promise<ReadonlyMap<T, unknown>>): Waiting[] {
    const all: Waiting[] = [];
    const work = async () => {
      const here = all.filter(({ signal }) => !signal.aborted);
      let refused: ReadonlyMap<unknown, unknown>;
      try {
        refused = here.length === 0 ? new Map() : await act(here.map(({ member }) => member as T));
      } catch (error) {
        refused = new Map(here.map(({ member }) => [member, error]));
      }
      for (const { member, go } of all)
        go(
          here.some((one) => one.member === member)
            ? refused.get(member)
            : new ProvisionError("STOPPED", "stopped while it waited for others"),
        );
    };
    this.#meetings.set(place, { all, act: work, timer: setTimeout(() => this.#hold(place), PATIENCE) });
    return all;
  }

  /** What waits at a place begins; who comes later waits for the next time. */
  #hold(place: string): void {
    const meeting = this.#meetings.get(place);
    if (meeting === undefined) return;
    this.#meetings.delete(place);
    clearTimeout(meeting.timer);
    void meeting.act();
  }

  async #enter(): Promise<void> {
    if (this.#working < this.#places) this.#working++;
    else await new Promise<void>((resolve) => this.#next.push(resolve));
  }

  #leave(): void {
    const next = this.#next.shift();
    if (next) next();
    else if (--this.#working === 0) for (const place of [...this.#meetings.keys()]) this.#hold(place);
  }
}
