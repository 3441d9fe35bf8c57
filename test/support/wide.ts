/** PROVISION_TEST_WIDE=1: every combination of services; unset: a sample that has each of them once. */
export const WIDE = process.env["PROVISION_TEST_WIDE"] === "1";
