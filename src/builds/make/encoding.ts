import { type Diagnostics, invalidMakeFile } from "./diagnostic.js";
import { TextPosition } from "./text-position.js";

/**
 * What is odd about the characters of a make file, whatever it says.
 *
 * @throws ProvisionError INVALID_FILE for what is no text at all
 */
export function reportEncoding(text: string, file: string, diagnostics: Diagnostics): void {
  const at = (offset: number) => new TextPosition(file, text).at(offset);
  const nul = text.indexOf("\0");
  if (nul !== -1) {
    const wide = text.startsWith("\uFFFD\uFFFD") || /^(?:[^\0]\0){4}/.test(text);
    diagnostics.error(
      "file/binary",
      at(nul),
      wide
        ? "this looks like UTF-16: save the file as UTF-8"
        : "there is a NUL byte here: this is no text file (an archive? a make file is plain text)",
    );
    throw invalidMakeFile(file, diagnostics.errors);
  }
  if (text.startsWith("\uFEFF"))
    diagnostics.warn("file/byte-order-mark", at(0), "a byte order mark becomes part of the first key; save the file without it");
  const lost = text.indexOf("\uFFFD");
  if (lost !== -1)
    diagnostics.warn("file/not-utf-8", at(lost), "there are bytes here that are not UTF-8 (Latin-1?): save the file as UTF-8");
  // In YAML drush takes them for line ends.
  if (text.includes("\r") && !/(?:^|\r)[ \t]*core:/.test(text) && !text.includes("\n"))
    diagnostics.warn(
      "file/carriage-returns",
      file,
      "its lines end with CR alone, which drush does not take for line ends: save it with LF",
    );
  const conflict = /^<{7}[ \t][\s\S]*^>{7}[ \t]/m.exec(text);
  if (conflict)
    diagnostics.warn(
      "file/merge-conflict",
      at(conflict.index),
      "a merge conflict was left in the file: of both sides the later line counts",
    );
}
