"""In which words does the server say no?

One exception carries the contract's code through both doors: an ack or an `error` event over sockets, a
status and a body over HTTP.
"""

from typing import Any

HTTP_STATUS = {
    "AUTH_INVALID": 401,
    "AUTH_EXPIRED": 401,
    "AUTH_MISMATCH": 401,
    "NOT_AUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "ROOM_INVALID": 400,
    "PAYLOAD_INVALID": 400,
    "PAYLOAD_TOO_LARGE": 413,
    "RATE_LIMITED": 429,
    "USER_OFFLINE": 409,
    "USER_BUSY": 409,
    "CALL_NOT_FOUND": 404,
    "CALL_NOT_RINGING": 409,
    "CALL_ALREADY_ANSWERED": 409,
    "CHAT_NOT_FOUND": 404,
    "CHAT_CLOSED": 409,
    "CHAT_ALREADY_ASSIGNED": 409,
    "CURSOR_INVALID": 400,
    "CURSOR_EXPIRED": 410,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "INTERNAL": 500,
}
AUTH_CODES = frozenset({"AUTH_INVALID", "AUTH_EXPIRED", "AUTH_MISMATCH"})
# What of the detail an ack and an HTTP body tell too: when to try again, who was faster.
_TOLD = ("retryAfterMs", "answeredBy", "operatorId")


class Refusal(Exception):
    """A request that is not carried out.

    `code` is one of the contract's codes. `status` is the HTTP answer where it differs from the code's
    usual one (an unknown conversation is FORBIDDEN on a socket and 404 over HTTP). `detail` is merged
    into the `error` event (`retryAfterMs`, `limit`, `answeredBy`), `beside` into the HTTP body beside
    the error (`cursor`).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        detail: dict[str, Any] | None = None,
        beside: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status if status is not None else HTTP_STATUS[code]
        self.detail = detail or {}
        self.beside = beside or {}

    def error(self) -> dict[str, Any]:
        """The error object of an ack or of an HTTP body: `{code, message, retryAfterMs?, answeredBy?}`."""
        told = {field: self.detail[field] for field in _TOLD if field in self.detail}
        return {"code": self.code, "message": self.message, **told}
