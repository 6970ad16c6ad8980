"""How does a user prove who it is? A JWT, signed with the secret that the server checks with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import jwt

LIFETIME = timedelta(hours=24)
"""Longer than any run: a token that expires is a scenario of its own."""


def sign(secret: str, user: str, role: str = "user") -> str:
    """A token for ``user``, HS256."""
    expires = datetime.now(UTC) + LIFETIME
    return jwt.encode({"sub": user, "role": role, "exp": int(expires.timestamp())}, secret, "HS256")
