// In what form does the HTTP door answer, and say no?
import { asRefusal, Refusal } from "./refusal.js";

const METHODS = ["GET", "POST", "PUT"];
const ALLOWED_HEADERS = [
  "Accept",
  "Accept-Language",
  "Authorization",
  "Content-Language",
  "Content-Type",
  "If-None-Match",
];

// A route is {method, path, segments, handle(request)}; what stands behind a colon in the path is a parameter. A
// request is {raw, method, query, params, headers}, an answer {status, headers?, body?, type?}.
export function route(method, path, handle) {
  return { method, path, segments: path.split("/"), handle };
}
export const get = (path, handle) => route("GET", path, handle);
export const post = (path, handle) => route("POST", path, handle);

export function answer(body, status = 200, headers = {}) {
  return { status, headers, body: JSON.stringify(body), type: "application/json" };
}

export function refused(no) {
  const { retryAfterMs } = no.detail;
  const headers = retryAfterMs === undefined ? {} : { "Retry-After": String(Math.ceil(retryAfterMs / 1000)) };
  return answer({ ok: false, error: no.error(), ...no.beside }, no.status, headers);
}

// A whole number of the query. Throws PAYLOAD_INVALID.
export function wholeParameter({ query }, name, fallback, lowest, highest) {
  const given = query.get(name) ?? String(fallback);
  const value = Number(given.slice(0, 17));
  if (!/^[0-9]+$/.test(given) || value < lowest || value > highest) {
    throw new Refusal("PAYLOAD_INVALID", `${name} must be a whole number from ${lowest} to ${highest}`);
  }
  return value;
}

// The listener for node:http over a table of routes.
export function httpListener(routes, corsOrigin) {
  return async (raw, response) => {
    const done = raw.method === "OPTIONS" && isPreflight(raw) ? preflight(raw, corsOrigin) : await carryOut(routes, raw);
    // An answer to one origin may be another to the next.
    const headers = { Vary: "Origin", ...done.headers };
    if (raw.headers.origin !== undefined) Object.assign(headers, corsHeaders(raw, corsOrigin));
    if (done.type !== undefined) headers["Content-Type"] = done.type;
    if (done.body !== undefined) headers["Content-Length"] = Buffer.byteLength(done.body);
    if (!response.destroyed) response.writeHead(done.status, headers).end(done.body);
  };
}

async function carryOut(routes, raw) {
  const mark = raw.url.indexOf("?");
  const path = mark < 0 ? raw.url : raw.url.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : raw.url.slice(mark + 1));
  const method = raw.method === "HEAD" ? "GET" : raw.method;
  try {
    const [{ handle }, params] = routeOf(routes, method, path);
    return await handle({ raw, method, query, params, headers: raw.headers });
  } catch (error) {
    return refused(asRefusal(error, `${raw.method} ${path}`));
  }
}

function routeOf(routes, method, path) {
  const given = path.split("/");
  let known = false;
  for (const one of routes) {
    const params = match(one.segments, given);
    if (params === undefined) continue;
    if (one.method === method) return [one, params];
    known = true;
  }
  if (known) throw new Refusal("METHOD_NOT_ALLOWED", "this path does not take that method");
  throw new Refusal("NOT_FOUND", "there is no such path");
}

function match(segments, given) {
  if (segments.length !== given.length) return undefined;
  const params = {};
  for (const [at, segment] of segments.entries()) {
    if (!segment.startsWith(":")) {
      if (segment !== given[at]) return undefined;
    } else if ((params[segment.slice(1)] = decoded(given[at])) === "") return undefined;
  }
  return params;
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

// -- cross-origin requests: https://fetch.spec.whatwg.org/#http-cors-protocol

function corsHeaders({ headers: { origin } }, allowed) {
  if (allowed === "*") return { "Access-Control-Allow-Origin": "*", ...EXPOSED };
  return { ...(origin === allowed && { "Access-Control-Allow-Origin": origin }), ...EXPOSED };
}

const EXPOSED = { "Access-Control-Expose-Headers": "ETag, Retry-After" };

function isPreflight({ headers }) {
  return headers.origin !== undefined && headers["access-control-request-method"] !== undefined;
}

function preflight({ headers }, allowed) {
  const asked = (headers["access-control-request-headers"] ?? "").split(",").map((name) => name.trim().toLowerCase());
  const known = ALLOWED_HEADERS.map((name) => name.toLowerCase());
  const wrong = [
    ...(allowed === "*" || headers.origin === allowed ? [] : ["origin"]),
    ...(METHODS.includes(headers["access-control-request-method"]) ? [] : ["method"]),
    ...(asked.every((name) => name === "" || known.includes(name)) ? [] : ["headers"]),
  ];
  return {
    status: wrong.length ? 400 : 200,
    type: "text/plain; charset=utf-8",
    body: wrong.length ? `Disallowed CORS ${wrong.join(", ")}` : "OK",
    headers: {
      Vary: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
      "Access-Control-Allow-Methods": METHODS.join(", "),
      "Access-Control-Max-Age": "600",
      "Access-Control-Allow-Headers": ALLOWED_HEADERS.join(", "),
    },
  };
}
