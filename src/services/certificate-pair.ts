import { createPrivateKey, X509Certificate } from "node:crypto";
import { messageOf, ProvisionError } from "../core/errors.js";
import type { Host } from "../host/host.js";

/**
 * A server may start with a pair that does not fit and die of it later, so it is looked at. Rejects with CONFIGURATION where a file is missing, is not what it
 * has to be, or the key is another certificate's; `state`: what stands then.
 */
export async function checkPair(
  host: Host,
  { certificate, key }: { readonly certificate: string; readonly key: string },
  state: string,
): Promise<void> {
  const read = async (path: string) => {
    const text = await host.readFile(path);
    if (text === undefined) throw new ProvisionError("CONFIGURATION", `${host.name}: there is no ${path}`, { state });
    return text;
  };
  const [certificateText, keyText] = [await read(certificate), await read(key)];
  const wrong = (what: string, cause?: unknown) =>
    new ProvisionError("CONFIGURATION", `${host.name}: ${what}`, {
      ...(cause === undefined ? {} : { why: [messageOf(cause)], cause }),
      state,
    });
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(certificateText);
  } catch (error) {
    throw wrong(`${certificate} is not a certificate`, error);
  }
  let fits: boolean;
  try {
    fits = parsed.checkPrivateKey(createPrivateKey(keyText));
  } catch (error) {
    throw wrong(`${key} is not a private key that can be read without a password`, error);
  }
  if (!fits) throw wrong(`${key} is not the key of ${certificate}`);
}
