// Where do the official packages come from? From the folder in OFFICIAL, or as usual from beside this file.
import { fstatSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const folder = process.env.OFFICIAL;

export const require = createRequire(folder ? join(folder, "package.json") : import.meta.url);

// A file of a package, also one that the package does not export.
export const file = (path) => require(folder ? join(folder, "node_modules", path) : `./node_modules/${path}`);

// A test that starts us holds the other end of a pipe: when that closes, however the test ended, we end too.
export function endWithParent() {
  if (fstatSync(0).isFIFO()) process.stdin.on("end", () => process.exit(0)).resume();
}
