"""Does the host speak TLS, or plain HTTP, and do we trust it? Asked before a run, and where one fails to begin."""

from __future__ import annotations

from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Place
from loadtest.users.http import fetch
from loadtest.users.secure import Secure, TlsFailed, new_wire

_PROBE_S = 3.0


class _Nobody:
    """Hears nothing: only whether keys can be agreed on is asked here."""

    def received(self, data: memoryview, read_ns: int) -> None:
        """Nothing was asked for."""

    def ended(self, cause: Cause, detail: str) -> None:
        """As it may."""

    def failed(self, error: BaseException) -> None:
        """Cannot be: there is nothing here that could."""


def agree(place: Place, timeout_s: float) -> None:
    """A connection that says nothing but TLS; blocks. Raises ConnectFailed, TlsFailed among them."""
    wire = new_wire(place.secure, _Nobody(), lambda lag_ns: None)
    wire.connect(place.family, place.address, timeout_s)
    wire.close()


def misfit(place: Place, timeout_s: float) -> str | None:
    """Why TLS does not work there, in words that go on after the host; None if it does.

    Raises ConnectFailed for what is no matter of TLS. Blocks.
    """
    try:
        agree(place, timeout_s)
    except TlsFailed as error:
        if _speaks_http(place):
            return f"it speaks plain HTTP; use {place.base.replace('https', 'http', 1)}"
        return f"{error.detail}; {error.advice}" if error.advice else error.detail
    return None


def speaks_tls(place: Place) -> bool:
    """Whether something that was spoken to in plain HTTP would rather have TLS; whose is no matter. Blocks."""
    try:
        agree(place._replace(secure=Secure("", verify=False)), _PROBE_S)
    except ConnectFailed:
        return False
    return True


def _speaks_http(place: Place) -> bool:
    try:
        fetch(place._replace(secure=None), "/", _PROBE_S)
    except ConnectFailed:
        return False
    return True
