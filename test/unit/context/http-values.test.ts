import { describe, expect, test } from "vitest";
import {
  addressProblem,
  apacheSnippetProblem,
  headerProblem,
  messageProblem,
  nginxSnippetProblem,
  phpPathProblem,
} from "../../../src/context/http-values.js";

const RULES = { addressProblem, apacheSnippetProblem, headerProblem, messageProblem, nginxSnippetProblem, phpPathProblem };

const RIGHT: Record<keyof typeof RULES, readonly string[]> = {
  addressProblem: ["192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "::1", "2001:db8::/32", "::ffff:192.0.2.1"],
  headerProblem: ["X-Robots-Tag: noindex", 'X-A: "a;b}c{ 100% \\"', "Content-Security-Policy: default-src 'self'; img-src *"],
  messageProblem: ["Preview", "Preview (ask us): 10, or so!"],
  phpPathProblem: ["a.php", "sites/all/modules/civicrm/extern/rest.php", "sites/default/own.php", "core/modules/statistics/statistics.php"],
  nginxSnippetProblem: [
    "location = /ping { return 204; }",
    "location /a {\n  if ($http_x = '}') { return 403; } # }\n}\n",
    'add_header X-A "a { b";',
    "rewrite ^/a\\{2\\}$ /b;",
    `set $a \${host};`,
    "",
  ],
  apacheSnippetProblem: [
    "RewriteRule ^/ping$ - [R=204,L]",
    '<Location "/a">\n  Require local\n</Location>\n',
    '<IfModule headers_module>\n<If "true">\nHeader set A b\n</If>\n</IfModule>',
    "RewriteRule ^/a \\\n  /b",
    "",
  ],
};

const HOSTILE: Record<keyof typeof RULES, readonly string[]> = {
  addressProblem: [
    "",
    "all",
    "192.0.2.1;",
    "192.0.2.0/33",
    "::/129",
    "192.0.2.1/",
    "1.2.3.4/2/3",
    "fe80::1%eth0",
    "192.0.2.1 all",
    "example.com",
  ],
  headerProblem: [
    "",
    "X-A",
    "X A: b",
    "X-A: b\nX-C: d",
    "X-A: b\r",
    "X-A: $host",
    `X-A: \${HOME}`,
    "X-A:  ",
    "X-A: é",
    "Set-Cookie: a=b",
    "X-Provision-Generation: x",
    ": b",
  ],
  messageProblem: ["", 'a" ', "a;", "a$b", "a\nb", "a\\", "a%b", "x".repeat(101)],
  phpPathProblem: [
    "",
    "/a.php",
    "../a.php",
    "a/../b.php",
    "a.php5",
    "a.php?x",
    "a b.php",
    "a$.php",
    "install.php",
    "core/INSTALL.PHP",
    "sites/default/files/a.php",
    "sites/files/a.php",
    ".git/a.php",
    "a//b.php",
    "a.php/b",
    "a|b.php",
  ],
  nginxSnippetProblem: [
    "}",
    "} server { listen 80; location / { return 200; } ",
    "location /a {",
    'return 200 "a;',
    "return 200 'a;",
    "# {\n}",
    "listen 81;",
    "a 1; server_name other.test;",
    "ssl_certificate /a;",
    "a\u0000b",
    "a\rb",
    "x".repeat(65_537),
    '"a" } "b"',
  ],
  apacheSnippetProblem: [
    "</VirtualHost>",
    "</VirtualHost>\n<VirtualHost *:80>",
    "<VirtualHost *:80>\n</VirtualHost>",
    "<Location />",
    "<Location />\n</Directory>",
    "<Loca\\\ntion />",
    "<IfDefine !X>\n</IfDefine>",
    "Header set a b\\",
    "a\rb",
    "x".repeat(65_537),
  ],
};

describe.each(Object.keys(RULES) as (keyof typeof RULES)[])("%s", (name) => {
  const rule = RULES[name];
  test.each(RIGHT[name].map((value) => [value]))("takes %j", (value) => expect(rule(value)).toBeUndefined());
  test.each(HOSTILE[name].map((value) => [value.slice(0, 60), value]))("refuses %j", (_shown, value) =>
    expect(rule(value)).toEqual(expect.any(String)),
  );
});
