"""Who is it, and until when? JSON Web Tokens, HS256: `sub` is the user, `role` what they may do, `exp` the
end."""

from typing import Any

import jwt
import msgspec

from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.refusal import Refusal

ROLES = frozenset({"user", "operator"})
_CACHED_TOKENS = 20_000


class Claims(msgspec.Struct, frozen=True):
    user_id: str
    role: str
    expires_at_ns: int

    @property
    def expires_at_ms(self) -> int:
        return self.expires_at_ns // MS


class Tokens:
    """Issues and verifies tokens of one secret.

    A token's signature is checked once: a polling user shows the same token 40 times a minute. Its
    expiry is compared with the caller's clock each time.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._verified: dict[str, Claims] = {}

    def issue(self, user_id: str, role: str, expires_at_ns: int) -> str:
        payload = {"sub": user_id, "role": role, "exp": expires_at_ns // SECOND}
        return jwt.encode(payload, self._secret, algorithm="HS256")

    def verify(self, token: object, now_ns: int) -> Claims:
        """The claims of a token that holds. Raises Refusal AUTH_INVALID or AUTH_EXPIRED."""
        if not isinstance(token, str):
            raise Refusal("AUTH_INVALID", "token must be a string")
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            if len(self._verified) >= _CACHED_TOKENS:
                self._verified.clear()
            self._verified[token] = claims
        if now_ns >= claims.expires_at_ns:
            raise Refusal("AUTH_EXPIRED", "the token has expired")
        return claims

    def _decode(self, token: str) -> Claims:
        # Expiry is left to verify(): PyJWT would read a clock of its own.
        options: Any = {
            "require": ["sub", "exp"],
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
        }
        try:
            payload = jwt.decode(token, self._secret, algorithms=["HS256"], options=options)
        except jwt.PyJWTError as bad:
            raise Refusal("AUTH_INVALID", f"the token does not verify: {bad}") from bad
        user_id, role, expires = payload["sub"], payload.get("role", "user"), payload["exp"]
        if not 1 <= len(user_id) <= 128 or not isinstance(role, str) or role not in ROLES:
            raise Refusal(
                "AUTH_INVALID", "the token needs a sub of 1-128 characters and the role user or operator"
            )
        if isinstance(expires, bool) or not isinstance(expires, (int, float)) or not abs(expires) < 1e12:
            raise Refusal("AUTH_INVALID", "the token's exp must be a number of seconds")
        return Claims(user_id=user_id, role=role, expires_at_ns=int(expires * SECOND))
