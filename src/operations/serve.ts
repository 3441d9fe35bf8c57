import { ProvisionError } from "../core/errors.js";
import type { Emit } from "../core/events.js";
import type { Stop } from "../core/stop.js";
import { serve } from "../services/http/php/serve.js";
import type { Services } from "./services.js";

export interface ServeArgs {
  /** Undefined: the server's http_port. */
  readonly port: number | undefined;
  readonly address: string;
  readonly emit: Emit;
  readonly stop: Stop;
  /** Called once requests are answered. */
  readonly listening?: (port: number) => void;
}

/** Serves the sites of one server until it is told to stop. Rejects with PORT_TAKEN, LOCKED, CONFIGURATION. */
export async function serveSites(use: Services, name: string, { port, address, emit, stop, listening }: ServeArgs): Promise<void> {
  const server = await use.store.need(name, "server");
  if (server.http_service_type !== "php") {
    throw new ProvisionError(
      "CONFIGURATION",
      `${name} has no web server that provision runs itself (http_service_type: ${server.http_service_type})`,
      {
        next: [`provision save ${name} --http_service_type=php`],
      },
    );
  }
  const begun = Date.now();
  await serve({
    layout: use.layout,
    server: name,
    host: use.host(server),
    port: port ?? server.http_port,
    address,
    signal: stop.signal,
    onEvent(event) {
      if (event.type === "listening") {
        emit({ type: "note", message: `serving on http://${event.address}:${event.port}/ (Ctrl-C ends it)` });
        listening?.(event.port);
      } else if (event.type === "request")
        emit({ type: "progress", message: `${event.method} ${event.host}${event.path} ${event.status} (${event.ms} ms)` });
      else if (event.type === "problem") emit({ type: "warning", message: event.message });
      else if (event.type === "crashed") emit({ type: "warning", message: `PHP (${event.pid}) ended: ${event.how}` });
      else if (event.type === "output") emit({ type: "progress", message: event.line });
    },
  });
  emit({ type: "ended", ms: Date.now() - begun });
}
