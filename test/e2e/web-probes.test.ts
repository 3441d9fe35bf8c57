import { probeSuite } from "../support/web-probes.js";

for (const type of ["nginx", "apache"] as const) probeSuite(type);
