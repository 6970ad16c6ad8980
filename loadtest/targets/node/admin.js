// What does Socket.IO's own admin UI see? The namespace /admin, and the page that shows it, below /admin/.
//
// It has no password, so it exists on loopback only; it sees every event, which costs the server time.
import { readFile } from "node:fs/promises";
import { dirname, extname, join, normalize } from "node:path";

import { get } from "./answers.js";
import { require } from "./packages.js";
import { Refusal } from "./refusal.js";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};

export function instrument(io) {
  require("@socket.io/admin-ui").instrument(io, { auth: false, mode: "development" });
}

export function adminRoutes() {
  const folder = join(dirname(require.resolve("@socket.io/admin-ui/package.json")), "ui", "dist");
  const page = async ({ params }) => {
    const path = normalize(`/${Object.values(params).join("/") || "index.html"}`);
    try {
      const body = await readFile(join(folder, path));
      return { status: 200, body, type: TYPES[extname(path)] ?? "application/octet-stream" };
    } catch {
      throw new Refusal("NOT_FOUND", "the admin page has no such file");
    }
  };
  return [get("/admin/", page), get("/admin/:file", page), get("/admin/:folder/:file", page)];
}
