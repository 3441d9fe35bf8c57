import type { Argv } from "../../../host/host.js";
import type { ConfigFile, Vhost } from "../service.js";
import type { Place } from "./place.js";

/** What was found on the machine; directives depend on it. */
export interface Facts {
  /** As it is called. */
  readonly program: string;
  readonly version: readonly number[];
  readonly ipv6: boolean;
}

/** A new configuration, to be tested beside the one that is served. */
interface Candidate {
  readonly files: readonly ConfigFile[];
  readonly test: Argv;
}

/** What makes one program a web server of ours: its words and its texts. What is done with them is the same for all. */
export interface Daemon {
  readonly type: string;
  /** What a person calls it. */
  readonly label: string;
  /** Debian's package. */
  readonly package: string;
  /** Names by which it may be found, the usual first. */
  readonly programs: readonly string[];
  /** How it says its version, and the version in what it said. */
  readonly versionArgument: string;
  /** Test of the whole configuration, and its reload, by the program found. */
  test(program: string): Argv;
  reload(program: string): Argv;
  /** What root has to write where, so that the top file is read. */
  include(place: Place): string;
  serverFiles(place: Place, facts: Facts): readonly ConfigFile[];
  generationFile(place: Place, generation: string): ConfigFile;
  /** One line of a file that a vhost includes: PHP finds the value in $_SERVER. */
  environmentLine(name: string, value: string): string;
  /** Certificate of the vhost for unknown names, where the daemon cannot do without: it is made at these paths. */
  defaultCertificate(place: Place): { readonly certificate: string; readonly key: string } | undefined;
  siteFiles(place: Place, vhost: Vhost): readonly ConfigFile[];
  noSiteFiles(place: Place, aliases: readonly string[], uri: string | undefined): readonly ConfigFile[];
  /**
   * `files` (below `vhost.d/` and `subdir.d/`) as they would be read, with what they share but without the other sites. `test` is
   * the test of the whole configuration.
   */
  candidate(place: Place, facts: Facts, files: readonly ConfigFile[], test: Argv): Candidate;
  /** Text of a vhost that answers 503 for all names that this one has; undefined for a text that is not ours. */
  unavailable(place: Place, text: string, port: number): string | undefined;
  /** What the test's words mean, when that is not plain. */
  advice(output: string, place: Place): readonly string[];
  /** After a reload old workers take connections beside the new ones for a moment. */
  readonly leavesWorkers: boolean;
}
