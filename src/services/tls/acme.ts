import { AsyncLocalStorage } from "node:async_hooks";
import { readFile } from "node:fs/promises";
import { Agent } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import type { Authorization, Client, Order } from "acme-client";
import { messageOf, ProvisionError } from "../../core/errors.js";
import { reveal, type Secret } from "../../core/secret.js";

/** Who is asked for certificates. */
export interface Authority {
  /** URL of its ACME directory. */
  readonly directory: string;
  /** Certificates (PEM file) by which its https is believed, for one that the system does not know. */
  readonly caFile: string | undefined;
  /** Where it may write to. */
  readonly mail: string | undefined;
  /** PEM. The account is made when the authority does not know it. */
  readonly accountKey: Secret;
}

/** One order. */
export interface Ordering {
  /** Host names, no wildcards. */
  readonly names: readonly string[];
  /** PEM; what the certificate will be for. */
  readonly key: Secret;
  /** Of an order that was begun before. */
  readonly url: string | undefined;
  /** The authority has taken the order: from here on it can be gone on with. */
  begun(url: string): Promise<void>;
  /** From when this returns, `text` is what http://NAME/.well-known/acme-challenge/TOKEN answers. */
  answer(name: string, token: string, text: string): Promise<void>;
  readonly signal: AbortSignal;
  progress(message: string): void;
}

/** Why no certificate came. `retryAfter`: seconds that the authority asks to be left alone for. */
export class AcmeError extends ProvisionError {
  readonly retryAfter: number | undefined;
  /** The order is dead: another has to be made. */
  readonly final: boolean;

  constructor(
    code: "CERTIFICATE_FAILED" | "SERVICE_UNAVAILABLE",
    message: string,
    details: ConstructorParameters<typeof ProvisionError>[2] & { readonly retryAfter?: number | undefined; readonly final?: true } = {},
  ) {
    super(code, message, details);
    this.name = "AcmeError";
    this.retryAfter = details.retryAfter;
    this.final = details.final === true;
  }
}

/** Milliseconds for one answer of the authority, and for all of its work on one challenge or order. */
const ANSWER_TIMEOUT = 30_000;
const PATIENCE = 120_000;
/** RFC 8555 8.1: base64url. It becomes the name of a file. */
const TOKEN = /^[A-Za-z0-9_-]{1,255}$/;

/** What one order asks by, and what came of its last request. */
interface Conversation {
  readonly agent: Agent;
  readonly signal: AbortSignal;
  /** Why it got no answer. */
  lost?: Error | undefined;
  answer?: { readonly status: number; readonly data: unknown; readonly retryAfter: string | undefined };
}

/** Keeps what ends a connection: the library loses it, and says only that there is no response. */
class HearingAgent extends Agent {
  readonly #hear: (error: Error) => void;

  constructor(options: ConstructorParameters<typeof Agent>[0], hear: (error: Error) => void) {
    super(options);
    this.#hear = hear;
  }

  override createConnection(...given: Parameters<Agent["createConnection"]>): ReturnType<Agent["createConnection"]> {
    const socket = super.createConnection(...given);
    socket?.once("error", this.#hear);
    return socket;
  }
}

const CONVERSATION = new AsyncLocalStorage<Conversation>();
let library: Promise<typeof import("acme-client")> | undefined;

/** The library has one HTTP client for all; each order gives it its own certificates and signal, and reads what the library keeps to itself. */
function load(): Promise<typeof import("acme-client")> {
  library ??= import("acme-client").then((acme) => {
    const { axios } = acme;
    axios.defaults.timeout = ANSWER_TIMEOUT;
    // It would wait for as long as the authority says, an hour perhaps: who asks again, and when, is decided here.
    Object.assign(axios.defaults, { acmeSettings: { ...Object(Reflect.get(axios.defaults, "acmeSettings")), retryMaxAttempts: 0 } });
    axios.interceptors.request.use((request) => {
      const { agent, signal } = CONVERSATION.getStore() as Conversation;
      return Object.assign(request, { httpsAgent: agent, signal });
    });
    axios.interceptors.response.use((response) => {
      const conversation = CONVERSATION.getStore() as Conversation;
      const { status, data, headers } = response;
      conversation.lost = undefined;
      conversation.answer = { status, data, retryAfter: headers["retry-after"] as string | undefined };
      return response;
    });
    return acme;
  });
  return library;
}

/**
 * A certificate for all names, by http-01: PEM, with the intermediate ones. Goes on with an order that was begun before, as long as the
 * authority knows it; one that it has finished is only fetched.
 *
 * Rejects with an AcmeError: CERTIFICATE_FAILED (the authority refused something) or SERVICE_UNAVAILABLE (it could not be asked).
 */
export function orderCertificate(authority: Authority, ordering: Ordering): Promise<string> {
  return converse(authority, ordering.signal, async (acme) => {
    const client = clientOf(acme, authority);
    ordering.progress(`asking ${hostOf(authority)}`);
    await needDirectory(client, authority);
    await client.createAccount({
      termsOfServiceAgreed: true,
      ...(authority.mail === undefined ? {} : { contact: [`mailto:${authority.mail}`] }),
    });
    const known = ordering.url === undefined ? undefined : await present(client, ordering.url);
    let order = known ?? (await client.createOrder({ identifiers: ordering.names.map((value) => ({ type: "dns", value })) }));
    if (!known) await ordering.begun(order.url);
    if (order.status === "pending") {
      await prove(client, order, ordering);
      order = await waitFor(
        ordering.signal,
        () => client.getOrder(order),
        ({ status }) => status !== "pending",
      );
    }
    if (order.status === "ready") {
      const [, request] = await acme.crypto.createCsr({ altNames: [...ordering.names] }, reveal(ordering.key));
      order = await client.finalizeOrder(order, request);
    }
    const pending = ["pending", "ready", "processing"];
    order = await waitFor(
      ordering.signal,
      () => client.getOrder(order),
      ({ status }) => !pending.includes(status),
    );
    if (order.status !== "valid") throw refused(`${hostOf(authority)} does not issue the certificate`, [problemOf(order)], order.status);
    return client.getCertificate(order);
  });
}

/** Whether the authority can be asked at all. Rejects as orderCertificate. */
export async function reachAuthority(authority: Pick<Authority, "directory" | "caFile">, signal: AbortSignal): Promise<void> {
  await converse(authority, signal, async (acme) => {
    // Any account's key does: the directory is open to all.
    const client = clientOf(acme, { ...authority, accountKey: (await import("./store.js")).newKey() });
    await needDirectory(client, authority);
  });
}

/** Asks for the directory, which the library then keeps. Rejects with SERVICE_UNAVAILABLE when what answers there is no such thing. */
async function needDirectory(client: Client, { directory }: Pick<Authority, "directory">): Promise<void> {
  const conversation = CONVERSATION.getStore() as Conversation;
  await client.getTermsOfServiceUrl().catch((error: unknown) => {
    // An answer that is no JSON, or says that there is nothing, was an answer: it is told below what it is not.
    const { status = 0 } = conversation.answer ?? {};
    if (conversation.lost !== undefined || status === 0 || status === 429 || status >= 500) throw error;
  });
  const { data, status } = conversation.answer ?? {};
  if (typeof Reflect.get(Object(data), "newOrder") === "string") return;
  throw new AcmeError("SERVICE_UNAVAILABLE", `${directory} is not the directory of a certificate authority`, {
    why: [status === 200 ? "what it answers names no newOrder (RFC 8555 7.1.1)" : `it answers ${status}`],
    next: ["look at acme_directory of the server"],
  });
}

function clientOf(acme: typeof import("acme-client"), { directory, accountKey }: Pick<Authority, "directory" | "accountKey">): Client {
  return new acme.Client({ directoryUrl: directory, accountKey: reveal(accountKey) });
}

/** The order, when the authority still has it and it is not dead. */
async function present(client: Client, url: string): Promise<Order | undefined> {
  try {
    const order = await client.getOrder({ url } as Order);
    return order.status === "invalid" ? undefined : order;
  } catch (error) {
    // Of another account, or forgotten: a new one then. What was not answered at all is another matter.
    const { status } = CONVERSATION.getStore()?.answer ?? { status: 0 };
    if (status >= 400 && status < 500 && status !== 429) return undefined;
    throw error;
  }
}

/** Answers the authority's questions on all names that it has not believed yet, and waits until it has looked. */
async function prove(client: Client, order: Order, ordering: Ordering): Promise<void> {
  const open = (await client.getAuthorizations(order)).filter(({ status }) => status !== "valid");
  for (const authorization of open) {
    const challenge = challengeOf(authorization);
    await ordering.answer(nameOf(authorization), challenge.token, await client.getChallengeKeyAuthorization(challenge));
  }
  for (const authorization of open) {
    const challenge = challengeOf(authorization);
    ordering.progress(`the authority looks at http://${nameOf(authorization)}/`);
    if (challenge.status === "pending") await client.completeChallenge(challenge);
  }
  const looked = await waitFor(
    ordering.signal,
    () => client.getAuthorizations(order),
    (all) => all.every(({ status }) => status !== "pending"),
  );
  const wrong = looked.filter(({ status }) => status !== "valid");
  if (wrong.length > 0) {
    const names = wrong.map(nameOf);
    throw refused(
      `the authority did not find its challenge at ${names.map((name) => `http://${name}/.well-known/acme-challenge/`).join(", ")}`,
      wrong.map((authorization) => `${nameOf(authorization)}: ${problemOf(challengeOf(authorization)) ?? authorization.status}`),
    );
  }
}

function nameOf({ identifier }: Authorization): string {
  return identifier.value;
}

function challengeOf(authorization: Authorization) {
  const { challenges } = authorization;
  const found = challenges.find(({ type }) => type === "http-01");
  if (found && TOKEN.test(found.token)) return found;
  const types = challenges.map(({ type }) => type).join(", ");
  throw refused(`${nameOf(authorization)} cannot be proven by http-01`, [
    found ? "the authority's token is none" : `the authority offers ${types === "" ? "nothing" : types}`,
  ]);
}

function refused(message: string, why: readonly (string | undefined)[], otherwise = ""): AcmeError {
  const known = why.filter((line) => line !== undefined);
  return new AcmeError("CERTIFICATE_FAILED", message, { why: known.length === 0 ? [otherwise] : known, final: true });
}

/** What the authority has against it (RFC 7807), in one line without control characters. */
function problemOf(item: unknown): string | undefined {
  const { error } = item as { readonly error?: unknown };
  return error === undefined || error === null ? undefined : detailOf(error);
}

function detailOf(problem: unknown): string | undefined {
  const { detail, type } = Object(problem) as { readonly detail?: unknown; readonly type?: unknown };
  const text = [
    typeof detail === "string" ? detail : undefined,
    typeof type === "string" ? `(${type.replace(/^urn:ietf:params:acme:error:/, "")})` : undefined,
  ]
    .filter((part) => part !== undefined)
    .join(" ");
  return text === "" ? undefined : plain(text);
}

function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").slice(0, 400);
}

async function waitFor<T>(signal: AbortSignal, read: () => Promise<T>, done: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + PATIENCE;
  for (let pause = 100; ; pause = Math.min(5000, pause * 2)) {
    const value = await read();
    if (done(value)) return value;
    if (Date.now() > deadline)
      throw new AcmeError("SERVICE_UNAVAILABLE", `the authority was not done within ${PATIENCE / 1000} s`, {
        next: ["the same command again: it goes on with the order"],
      });
    await sleep(pause, undefined, { signal });
  }
}

function hostOf({ directory }: Pick<Authority, "directory">): string {
  return new URL(directory).host;
}

/** Talks to one authority; whatever goes wrong becomes an AcmeError. */
async function converse<T>(
  authority: Pick<Authority, "directory" | "caFile">,
  signal: AbortSignal,
  action: (acme: typeof import("acme-client")) => Promise<T>,
): Promise<T> {
  const { caFile } = authority;
  let ca: string | undefined;
  try {
    ca = caFile === undefined ? undefined : await readFile(caFile, "utf8");
  } catch (error) {
    throw new ProvisionError("CONFIGURATION", `acme_ca_file cannot be read: ${messageOf(error)}`, { cause: error });
  }
  const hear = (error: Error) => {
    conversation.lost = error;
  };
  const agent = new HearingAgent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) }, hear);
  const conversation: Conversation = { agent, signal };
  try {
    const acme = await load();
    return await CONVERSATION.run(conversation, () => action(acme));
  } catch (error) {
    if (error instanceof ProvisionError) throw error;
    if (signal.aborted) throw new ProvisionError("STOPPED", "stopped while the authority was asked", { cause: error });
    throw failure(error, authority, conversation);
  } finally {
    conversation.agent.destroy();
  }
}

function failure(error: unknown, { directory }: Pick<Authority, "directory">, { answer, lost }: Conversation): AcmeError {
  const where = hostOf({ directory });
  const retryAfter = secondsOf(answer?.retryAfter);
  const problem = answer === undefined || answer.status < 400 ? undefined : answer.data;
  const type = String((Object(problem) as { readonly type?: unknown }).type ?? "");
  if (lost === undefined && type.startsWith("urn:ietf:params:acme:error:")) {
    const { subproblems } = problem as { readonly subproblems?: unknown };
    const parts = (Array.isArray(subproblems) ? subproblems : []).map(
      (part) => `${String((Object(part) as { identifier?: { value?: unknown } }).identifier?.value ?? "")}: ${detailOf(part) ?? ""}`,
    );
    const limited = type.endsWith(":rateLimited");
    return new AcmeError("CERTIFICATE_FAILED", limited ? `${where} wants to be asked less often` : `${where} refuses the order`, {
      why: [detailOf(problem) ?? messageOf(error), ...parts.map(plain)],
      cause: error,
      final: true,
      retryAfter: retryAfter ?? (limited ? 3600 : undefined),
    });
  }
  const why = lost ?? error;
  const code = (Object(why) as { readonly code?: unknown }).code;
  const distrusted = typeof code === "string" && /^(?:CERT_|ERR_TLS_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_(?:GET_ISSUER|VERIFY))/.test(code);
  return new AcmeError(
    "SERVICE_UNAVAILABLE",
    `the certificate authority at ${directory} ${distrusted ? "is not believed to be itself" : "gives no answer of use"}`,
    {
      why: [answer === undefined && why instanceof TypeError ? `nothing came within ${ANSWER_TIMEOUT / 1000} s` : plain(messageOf(why))],
      next: [
        distrusted
          ? "acme_ca_file of the server names the certificates by which it is believed"
          : "look at acme_directory of the server, and at the network",
      ],
      cause: error,
      retryAfter,
    },
  );
}

/** Retry-After: seconds, or a date. */
function secondsOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : Math.ceil((Date.parse(header) - Date.now()) / 1000);
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}
