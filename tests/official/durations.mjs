// What does the client's own backoff answer for given numbers of Math.random()?
//
// stdin: {"options": {"min", "max", "jitter"}, "attempts": 8, "draws": [...]}
// stdout: for every draw the durations of attempt 1, 2, ..., each of them with that draw
import { readFileSync } from "node:fs";

import { file } from "./modules.mjs";

const { Backoff } = file("socket.io-client/build/cjs/contrib/backo2.js");
const { options, attempts, draws } = JSON.parse(readFileSync(0, "utf8"));
const rows = draws.map((draw) => {
  Math.random = () => draw;
  const backoff = new Backoff(options);
  return Array.from({ length: attempts }, () => backoff.duration());
});
process.stdout.write(JSON.stringify(rows));
