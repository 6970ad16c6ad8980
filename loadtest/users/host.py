"""Where is the host, and may we put load on it?"""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

from gevent import socket as gsocket

from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.users.connection import Place
from loadtest.users.options import Settings
from loadtest.users.secure import Secure

_PORTS = {"http": 80, "https": 443}


class Refused(Exception):
    """A run that must not start; ``str`` is one line for a person."""


def locate(host: str, verify: bool = True) -> Place:
    """Resolve the host once for all users. Raises Refused.

    verify: whether the certificate of an https host must be one that this machine trusts.
    """
    try:
        parts = urlsplit(host)
    except ValueError as error:
        raise Refused(f"{host}: not a host ({error}); write it like -H http://127.0.0.1:3000") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(f"{host}: not a host; write it like -H http://127.0.0.1:3000")
    if "@" in parts.netloc:
        # Not shown: it would be in the log, and in the Run.
        raise Refused(
            f"{parts.hostname}: a host has no user name and password; users prove theirs by a token"
        )
    if parts.path not in ("", "/"):
        raise Refused(f"{host}: a host has no path; the path of Socket.IO is connect.path of the contract")
    try:
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        if not port:
            raise ValueError
    except ValueError:
        raise Refused(f"{host}: the port is no number between 1 and 65535") from None
    try:
        parts.hostname.encode("idna")  # the resolver's thread would show a traceback of its own
        found = gsocket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host}: no such host ({getattr(error, 'strerror', None) or error})") from None
    family, address = _choose([(one[0], one[4]) for one in found])
    secure = Secure(parts.hostname, verify) if parts.scheme == "https" else None
    return Place(int(family), address, parts.netloc, f"{parts.scheme}://{parts.netloc}", secure)


def _choose(found: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """IPv4 first. On this machine a name has addresses of both kinds, and a server may listen on one alone."""
    ordered = sorted(dict.fromkeys(found), key=lambda one: one[0] != socket.AF_INET)
    if len(ordered) > 1 and all(_is_loopback(address) for _, address in ordered):
        return next((one for one in ordered if _listens(*one)), ordered[0])
    return ordered[0]


def _listens(family: Any, address: Any) -> bool:
    with gsocket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(1)
        return bool(sock.connect_ex(address) == 0)


def _is_loopback(address: tuple[Any, ...]) -> bool:
    return ipaddress.ip_address(address[0].partition("%")[0]).is_loopback


def is_loopback(place: Place) -> bool:
    """Whether the load would stay on this machine."""
    return _is_loopback(place.address)


def may_load(place: Place, settings: Settings, signs: bool = True) -> None:
    """Never load a host by accident. Raises Refused. signs: whether users prove themselves by tokens of ours."""
    if is_loopback(place):
        return
    if signs and settings.token_secret == DEVELOPMENT_SECRET:
        raise Refused(
            f"{place.base}: not this machine, and the development secret would sign the tokens; "
            "name the server's own with --rt-token-secret"
        )
    if not settings.allow_remote and not _agreed(place):
        raise Refused(
            f"{place.base}: not this machine; if you mean to put load on it, say so: --rt-allow-remote"
        )


def _agreed(place: Place) -> bool:
    if not sys.stdin.isatty():
        return False
    return input(f"{place.base} is not this machine. Put load on it? [y/N] ").strip().lower() in ("y", "yes")
