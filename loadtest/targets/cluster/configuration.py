"""What must HAProxy be told, so that Socket.IO works through it?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COOKIE = "loadtest_instance"
SPARE_S = 15.0
"""How much longer than the server's own heartbeat a silence may last before the proxy takes it for the end."""


@dataclass(frozen=True)
class Front:
    """The side of the users.

    descriptor: a listening socket that the proxy inherits. sticky: whether whoever has been to an instance
    comes back to it, by a cookie. certificate: PEM file of chain and key; None: no TLS. silence_s: ping interval
    and timeout of the servers together. connections: how many at once, at most.
    """

    descriptor: int
    sticky: bool
    certificate: Path | None
    silence_s: float
    connections: int


def configuration(front: Front, ports: Mapping[str, int]) -> str:
    """The configuration file. ports: of the instances on 127.0.0.1, by name."""
    return "\n".join([*_general(front), "", *_users(front), "", *_servers(front, ports), ""])


def _general(front: Front) -> list[str]:
    # A poll hangs until the server has something to say, which may be its next ping. A WebSocket is a tunnel,
    # whose end is Engine.IO's to find out.
    idle_s = round(front.silence_s + SPARE_S)
    return [
        "global",
        f"    maxconn {front.connections}",
        "",
        "defaults",
        "    mode http",
        "    timeout connect 5s",
        "    timeout http-request 10s",
        "    timeout http-keep-alive 65s",
        f"    timeout client {idle_s}s",
        f"    timeout server {idle_s}s",
        "    timeout tunnel 24h",
        "    timeout check 2s",
        "    retries 3",
        # Whose instance has gone is sent to another one at once, cookie or not.
        "    option redispatch 1",
    ]


def _users(front: Front) -> list[str]:
    # HTTP/1.1 only, which is what WebSockets and the polling of this application speak.
    tls = f' ssl crt "{front.certificate}" alpn http/1.1' if front.certificate else ""
    return ["frontend users", f"    bind fd@{front.descriptor}{tls}", "    default_backend instances"]


def _servers(front: Front, ports: Mapping[str, int]) -> list[str]:
    lines = ["backend instances", "    balance roundrobin", "    option httpchk GET /"]
    lines.append("    http-check expect status 200")
    if front.sticky:
        secure = " secure" if front.certificate else ""
        lines.append(f"    cookie {COOKIE} insert indirect nocache httponly{secure}")
    lines.append("    default-server check inter 1s fall 3 rise 1")
    for name, port in ports.items():
        cookie = f" cookie {name}" if front.sticky else ""
        lines.append(f"    server {name} 127.0.0.1:{port}{cookie}")
    return lines
