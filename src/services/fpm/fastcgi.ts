import type { Host } from "../../host/host.js";

const [BEGIN, PARAMS, STDIN, STDOUT] = [1, 4, 5, 6];

/**
 * Runs one script by PHP-FPM, as a web server would, and answers with what follows the headers. Rejects when nobody
 * listens at the socket, or nothing comes for `timeout` milliseconds.
 */
export async function askFpm(host: Pick<Host, "dial">, socket: string, script: string, timeout: number): Promise<string> {
  const parameters = { REQUEST_METHOD: "GET", SCRIPT_FILENAME: script, SCRIPT_NAME: "/marker.php", SERVER_PROTOCOL: "HTTP/1.1" };
  return (await askScript(host, socket, parameters, timeout)).body;
}

/** The same with all that the web server would say of the request (FastCGI 1.0). `listen`: a socket's path, or host:port. */
export async function askScript(
  host: Pick<Host, "dial">,
  listen: string,
  parameters: Readonly<Record<string, string>>,
  timeout: number,
): Promise<{ readonly head: string; readonly body: string }> {
  const [, address = "", port] = /^(.*):(\d+)$/.exec(listen) ?? [];
  const connection = await host.dial(port === undefined || listen.startsWith("/") ? { socket: listen } : { address, port: Number(port) });
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const expired = () => connection.destroy(new Error(`nothing came for ${timeout} ms`));
    let patience = setTimeout(expired, timeout);
    connection.once("error", (error) => {
      clearTimeout(patience);
      reject(error);
    });
    connection.on("data", (chunk: Buffer) => {
      clearTimeout(patience);
      patience = setTimeout(expired, timeout);
      chunks.push(chunk);
    });
    // A connection that a link carries ends, and is only closed when we end it, too.
    connection.once("end", () => connection.end());
    connection.once("close", () => {
      clearTimeout(patience);
      const said = output(Buffer.concat(chunks));
      const body = said.indexOf("\r\n\r\n");
      if (body < 0) reject(connection.errored ?? new Error("no answer"));
      else resolve({ head: said.slice(0, body), body: said.slice(body + 4) });
    });
    connection.write(
      Buffer.concat([
        record(BEGIN, Buffer.from([0, 1, 0, 0, 0, 0, 0, 0])),
        record(PARAMS, Buffer.concat(Object.entries(parameters).map(([name, value]) => pair(name, value)))),
        record(PARAMS, Buffer.alloc(0)),
        record(STDIN, Buffer.alloc(0)),
      ]),
    );
  });
}

function record(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([1, type, 0, 1, content.length >> 8, content.length & 255, 0, 0]), content]);
}

function pair(name: string, value: string): Buffer {
  const length = (text: string) => {
    const bytes = Buffer.byteLength(text);
    if (bytes < 128) return Buffer.from([bytes]);
    const long = Buffer.alloc(4);
    long.writeUInt32BE((bytes | 0x80000000) >>> 0);
    return long;
  };
  return Buffer.concat([length(name), length(value), Buffer.from(name), Buffer.from(value)]);
}

/** What the records of standard output hold. */
function output(bytes: Buffer): string {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt16BE(at + 4);
    if (bytes[at + 1] === STDOUT) parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length + (bytes[at + 6] ?? 0);
  }
  return Buffer.concat(parts).toString("utf8");
}
