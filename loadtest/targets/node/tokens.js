// Who is it, and until when? JSON Web Tokens, HS256: `sub` is the user, `role` what they may do, `exp` the end.
import { createHmac, timingSafeEqual } from "node:crypto";

import { isObject, isText, USER_ID_LIMIT } from "./fields.js";
import { Refusal } from "./refusal.js";

export const ROLES = ["user", "operator"];
const CACHED_TOKENS = 20_000;
const HEADER = encode({ alg: "HS256", typ: "JWT" });

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part) {
  return JSON.parse(Buffer.from(part, "base64url").toString());
}

// Issues and verifies tokens of one secret. A token's signature is checked once: a polling user shows the same token
// 40 times a minute. Its expiry is compared with the caller's clock each time.
export class Tokens {
  #secret;
  #verified = new Map();

  constructor(secret) {
    this.#secret = secret;
  }

  issue(userId, role, expiresAtS) {
    const signed = `${HEADER}.${encode({ sub: userId, role, exp: expiresAtS })}`;
    return `${signed}.${this.#sign(signed)}`;
  }

  // The claims of a token that holds. Throws Refusal AUTH_INVALID or AUTH_EXPIRED.
  verify(token, now) {
    if (typeof token !== "string") throw new Refusal("AUTH_INVALID", "token must be a string");
    let claims = this.#verified.get(token);
    if (claims === undefined) {
      claims = this.#claims(token);
      if (this.#verified.size >= CACHED_TOKENS) this.#verified.clear();
      this.#verified.set(token, claims);
    }
    if (now >= claims.expiresAtMs) throw new Refusal("AUTH_EXPIRED", "the token has expired");
    return claims;
  }

  #sign(text) {
    return createHmac("sha256", this.#secret).update(text).digest("base64url");
  }

  #claims(token) {
    const payload = this.#payload(token);
    const { sub: userId, role = "user", exp } = payload;
    if (!isText(userId, USER_ID_LIMIT) || !ROLES.includes(role)) {
      throw new Refusal("AUTH_INVALID", "the token needs a sub of 1-128 characters and the role user or operator");
    }
    if (typeof exp !== "number" || !(Math.abs(exp) < 1e12)) {
      throw new Refusal("AUTH_INVALID", "the token's exp must be a number of seconds");
    }
    return { userId, role, expiresAtMs: Math.floor(exp * 1000) };
  }

  #payload(token) {
    const [header, body, signature, ...more] = token.split(".");
    if (signature === undefined || more.length) throw new Refusal("AUTH_INVALID", "the token does not verify: not a JWT");
    const given = Buffer.from(signature);
    const right = Buffer.from(this.#sign(`${header}.${body}`));
    if (given.length !== right.length || !timingSafeEqual(given, right)) {
      throw new Refusal("AUTH_INVALID", "the token does not verify: wrong signature");
    }
    try {
      const payload = decode(body);
      if (decode(header).alg === "HS256" && isObject(payload)) return payload;
    } catch {
      // Signed, and no JSON all the same: told as everything else that is wrong with it.
    }
    throw new Refusal("AUTH_INVALID", "the token does not verify: not HS256, or no object");
  }
}
