import type { DatabaseAccess } from "../../context/database-access.js";
import type { GenerationPaths } from "../../context/layout.js";
import type { Step } from "../../core/step.js";

/** Which database: that of one generation of one site. Secrets of its account are in the site's secrets file. */
export interface DatabaseOf {
  readonly uri: string;
  readonly generation: string;
  readonly paths: GenerationPaths;
  /** Names made in prepare, for the servers that need them; empty for sqlite. */
  readonly names: Readonly<Record<string, string>>;
}

/** One kind of database server; one contract suite runs over every type. */
export interface DbService {
  readonly type: string;
  /** Proves that databases can be made and dropped here; changes nothing that stays. Part of verify @server. */
  serverSteps(): readonly Step[];
  /** Full, collision-free names for a new generation; pure. */
  names(uri: string, generation: string): Readonly<Record<string, string>>;
  /** Rejects with SERVICE_UNAVAILABLE when it cannot be used now: the answer install's preflight wants. */
  reach(): Promise<void>;
  access(database: DatabaseOf): Promise<DatabaseAccess>;
  /** The empty database and its account, refused when there; undone by dropping both. */
  create(database: DatabaseOf): readonly Step[];
  /** Removes database and account; a finish step of delete. */
  drop(database: DatabaseOf): readonly Step[];
  exists(database: DatabaseOf): Promise<boolean>;
  /** Bytes. */
  size(database: DatabaseOf): Promise<number>;
}
