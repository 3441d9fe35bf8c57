import { describe, expect, it } from "vitest";
import { Layout } from "../../../src/context/layout.js";
import { type Host, HostError } from "../../../src/host/host.js";
import { readMarker } from "../../../src/services/http/daemon/marker.js";
import { type HttpSetup, httpServices } from "../../../src/services/http/index.js";

/** A machine whose daemons cannot be asked, for this reason. */
const broken = (error: Error) => ({ name: "@web1", dial: () => Promise.reject(error) }) as unknown as Host;
const lost = new HostError("HOST_UNAVAILABLE", "@web1: the connection was lost", { reached: "unknown" });
const refused = new Error("connection refused");

describe("a machine that is away is not one whose web server is down", () => {
  it("marker: nobody answers on a machine that does", async () => {
    expect(await readMarker(broken(refused), 80)).toEqual({ state: "down" });
    await expect(readMarker(broken(lost), 80)).rejects.toBe(lost);
  });

  for (const type of ["nginx", "apache"]) {
    it(`${type}: a page`, async () => {
      const ask = (error: Error) =>
        httpServices[type]?.({
          layout: new Layout("/hub"),
          server: { name: "@web1", script_user: "root", http_port: 80 } as HttpSetup["server"],
          host: broken(error),
        }).request({ uri: "a.test", path: "/" });
      await expect(ask(refused)).rejects.toMatchObject({ code: "SERVICE_UNAVAILABLE", why: ["connection refused"] });
      await expect(ask(lost)).rejects.toBe(lost);
    });
  }
});
