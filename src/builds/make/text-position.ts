import type { Mark } from "./php-value.js";

/** Turns offsets in a file's text into lines and columns. */
export class TextPosition {
  readonly #file: string;
  readonly #starts: number[] = [0];

  constructor(file: string, text: string) {
    this.#file = file;
    for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) this.#starts.push(at + 1);
  }

  at(offset: number, source?: string): Mark {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return {
      file: this.#file,
      line: low + 1,
      column: offset - (this.#starts[low] as number) + 1,
      ...(source === undefined ? {} : { source }),
    };
  }
}
