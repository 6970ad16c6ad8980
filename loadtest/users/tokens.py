"""How does a user prove who it is? A JWT, signed with the secret that the server checks with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt

LIFETIME_S = 86_400
"""Longer than any run, where the contract names no other."""


def sign(secret: str, user: str, role: str = "user", lifetime_s: int = LIFETIME_S) -> str:
    """A token for ``user``, HS256, that expires in ``lifetime_s`` seconds."""
    expires = datetime.now(UTC) + timedelta(seconds=lifetime_s)
    return jwt.encode({"sub": user, "role": role, "exp": int(expires.timestamp())}, secret, "HS256")
