import { resolveSite } from "../context/references.js";
import { ProvisionError } from "../core/errors.js";
import type { Emit } from "../core/events.js";
import { detectCore } from "../engines/index.js";
import type { HttpAnswer, HttpService } from "../services/http/service.js";
import { siteCode, siteInputs } from "./parts/site.js";
import type { Services } from "./services.js";

/** What was built, in one line that never calls the sample Drupal. */
export async function introduce(use: Services, root: string, name: string): Promise<string> {
  const { platform, site, webServer } = await resolveSite(use.store, use.settings, name);
  const { version } = await detectCore(use.local, use.layout.resolve(platform.root));
  const sample = version.endsWith("-sample");
  const what = sample
    ? "the bundled sample core (it is not Drupal: drupal.org and its mirrors could not be reached, or --sample was given)"
    : `Drupal ${version}`;
  return `The hub in ${root} has ${what}, and a site: ${use.http(webServer).url(site.uri)}/`;
}

/** Asks for the front page and logs in once by link, as a visitor would; says what came. A site that does not answer is a failure. */
export async function look(use: Services, name: string, changed: number, emit: Emit): Promise<void> {
  const begun = Date.now();
  const all = await resolveSite(use.store, use.settings, name);
  const { site, webServer, platform } = all;
  const core = await detectCore(use.local, use.layout.resolve(platform.root));
  const inputs = await siteInputs(use, all, core, site.generation ?? "");
  const http = use.http(webServer);
  const url = http.url(site.uri);
  const front = await http.request({ uri: site.uri, path: "/" });
  expected(front, [200], `GET ${url}/`);
  const { result } = await use.engine(core.engine).login(siteCode(inputs, use), 1);
  const { pathname, search } = new URL(result.url);
  const link = await http.request({ uri: site.uri, path: `${pathname}${search}` });
  const account = await follow(http, site.uri, link);
  expected(account, [200], "the page after the login");
  const title = titleOf(front);
  const data = {
    url,
    front_page: { status: front.status, title },
    login: { link: link.status, account: account.status, title: titleOf(account) },
    changed,
    sample: core.version.endsWith("-sample"),
  };
  emit({ type: "data", data });
  emit({
    type: "text",
    lines: [
      `GET ${url}/  ${front.status}  ${title}`,
      `GET login link  ${link.status}, then ${account.status}  ${titleOf(account)}`,
      `${changed} changed`,
    ],
  });
  emit({ type: "ended", ms: Date.now() - begun });
}

/** A login answers with a redirect and a session cookie; the page behind it shows whose session it is. */
async function follow(http: HttpService, uri: string, answer: HttpAnswer): Promise<HttpAnswer> {
  const { location, "set-cookie": cookies } = answer.headers;
  if (location === undefined || cookies === undefined)
    throw new ProvisionError("PROBE_FAILED", `the login link answered ${answer.status} without a session`);
  const cookie = cookies
    .split(/,(?=[^;]+=)/)
    .map((one) => one.split(";")[0]?.trim())
    .join("; ");
  const to = new URL(location, http.url(uri));
  return http.request({ uri, path: `${to.pathname}${to.search}`, headers: { cookie } });
}

function expected(answer: HttpAnswer, statuses: readonly number[], what: string): void {
  if (statuses.includes(answer.status)) return;
  throw new ProvisionError("PROBE_FAILED", `${what} answered ${answer.status}`, { why: [titleOf(answer)] });
}

function titleOf({ body }: HttpAnswer): string {
  return /<title>([^<]*)<\/title>/.exec(body)?.[1]?.trim() ?? "(no title)";
}
