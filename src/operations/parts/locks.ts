import type { Cluster, PlatformAndServers, SiteAndAll } from "../../context/references.js";
import type { Lock } from "../../core/step.js";

/** Exclusive on the site, shared on everything it refers to. */
export function siteLocks({ site, platform, server, webServer, dbServer, client, cluster }: SiteAndAll): readonly Lock[] {
  return [
    { kind: "hub", name: "hub", mode: "shared" },
    { kind: "client", name: client.name, mode: "shared" },
    ...[server, webServer, dbServer, ...ofCluster(cluster)].map(({ name }) => ({ kind: "server", name, mode: "shared" }) as const),
    { kind: "platform", name: platform.name, mode: "shared" },
    { kind: "site", name: site.name, mode: "exclusive" },
  ];
}

/** Exclusive on the platform, shared on its servers. */
export function platformLocks({ platform, server, webServer, cluster }: PlatformAndServers): readonly Lock[] {
  return [
    { kind: "hub", name: "hub", mode: "shared" },
    ...[server, webServer, ...ofCluster(cluster)].map(({ name }) => ({ kind: "server", name, mode: "shared" }) as const),
    { kind: "platform", name: platform.name, mode: "exclusive" },
  ];
}

/** Its own context, too: who changes that changes what all members serve. */
function ofCluster(cluster: Cluster | undefined): readonly { readonly name: string }[] {
  return cluster ? [cluster, ...cluster.others] : [];
}
