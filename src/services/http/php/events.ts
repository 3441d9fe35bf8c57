/** What happens while sites are served, for whoever draws it. */
export type ServeEvent =
  | { readonly type: "listening"; readonly address: string; readonly port: number; readonly pid: number }
  | { readonly type: "started"; readonly php: string; readonly pid: number }
  | { readonly type: "crashed"; readonly php: string; readonly pid: number; readonly how: string }
  /** New children serve all requests from now on. */
  | { readonly type: "reloaded"; readonly generation: string; readonly ms: number }
  /** Without the query, which may hold what is nobody's business. */
  | {
      readonly type: "request";
      readonly method: string;
      readonly host: string;
      readonly path: string;
      readonly status: number;
      readonly ms: number;
    }
  /** A line that PHP wrote to its error log. */
  | { readonly type: "output"; readonly php: string; readonly line: string }
  | { readonly type: "problem"; readonly message: string }
  | { readonly type: "stopped" };

export type OnServeEvent = (event: ServeEvent) => void;
