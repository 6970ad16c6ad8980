"""What does a user hold that is connected, has joined, and only listens?"""

from __future__ import annotations

import msgspec
from rich.table import Table

from bench.session import Part, Requirement, Session
from bench.task import Memory

LIMIT_KB = 25
_KINDS = (
    ("native", "native", "websocket"),
    ("stock", "stock", "websocket"),
    ("interval-polling", "native", "interval-polling"),
)


def measure(session: Session) -> Part:
    """Each kind of user in a process of its own."""
    found = {name: session.idle(arm, transport) for name, arm, transport in _KINDS}
    native_kb = found["native"].per_user / 1000
    kept = Requirement(
        "memory per idle native user", f"<= {LIMIT_KB} KB", f"{native_kb:.1f} KB", native_kb <= LIMIT_KB
    )
    raw = {
        name: {**msgspec.to_builtins(memory), "bytes_per_user": memory.per_user}
        for name, memory in found.items()
    }
    return Part("memory", _table(found), [kept], raw)


def _table(found: dict[str, Memory]) -> Table:
    table = Table(title="memory: idle users, connected and joined (RSS)", title_justify="left")
    table.add_column("client")
    for name in ("users", "before MB", "with users MB", "KB/user", "failures"):
        table.add_column(name, justify="right")
    for name, memory in found.items():
        table.add_row(
            name,
            str(memory.users),
            f"{memory.rss_before / 1e6:.1f}",
            f"{memory.rss_with / 1e6:.1f}",
            f"{memory.per_user / 1000:.1f}",
            str(memory.failures),
        )
    return table
