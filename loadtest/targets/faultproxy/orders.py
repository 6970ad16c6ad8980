"""Which fault is ordered? The body of `POST /fault`, checked."""

from collections.abc import Mapping
from typing import Any

import msgspec

from loadtest.targets.faultproxy.choice import Peer

SECOND, MS = 1_000_000_000, 1_000_000
LONGEST_S = 86_400.0
# What a kind needs, and what it may have. Everything but restart and none can be aimed at some connections.
_NEEDS: Mapping[str, str | None] = {
    "blackhole": "seconds",
    "delay": "ms",
    "slow": "bytesPerSecond",
    "refuse": "seconds",
    "restart": "seconds",
    "none": None,
}
_AIM = ("share", "seed", "connections")
_MAY: Mapping[str, tuple[str, ...]] = {
    "blackhole": _AIM,
    "delay": ("seconds", *_AIM),
    "slow": ("seconds", *_AIM),
    "refuse": _AIM,
    "restart": ("share", "seed"),
    "none": ("share", "seed"),
}
_FIELDS = ("kind", "seconds", "ms", "bytesPerSecond", *_AIM)
KINDS = ("blackhole", "delay", "slow", "refuse", "restart")


class OrderError(ValueError):
    """An order that is not carried out; `str` is one line: what is wrong and what would be right."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `seconds` None lasts until the order `none`; `connections` name whom it strikes, else
    `share` of those that are open."""

    kind: str
    seconds: float | None = None
    ms: float = 0.0
    bytes_per_second: int = 0
    share: float = 1.0
    seed: int = 1
    connections: tuple[Peer, ...] | None = None

    @property
    def everyone(self) -> bool:
        """Whether it strikes connections to come, too."""
        return self.connections is None and self.share == 1

    @property
    def lasts_ns(self) -> int | None:
        return None if self.seconds is None else round(self.seconds * SECOND)

    @property
    def delay_ns(self) -> int:
        return round(self.ms * MS)


def parse_order(body: object, *, kinds: tuple[str, ...] = KINDS) -> Order:
    """`{kind, seconds?, ms?, bytesPerSecond?, share?, seed?, connections?}`. Raises OrderError.

    A field that is null counts as absent. `kinds` are those that this proxy can do.
    """
    if not isinstance(body, Mapping):
        raise OrderError("the body must be one JSON object")
    fields = {name: value for name, value in body.items() if value is not None}
    kind = fields.get("kind")
    if kind == "restart" and kind not in kinds:
        raise OrderError(
            "restart needs a server that the proxy started itself: loadtest serve --through-faults"
        )
    if not isinstance(kind, str) or kind not in (*kinds, "none"):
        raise OrderError(f"kind must be one of {', '.join(kinds)}, none")
    _check_names(kind, fields)
    share = _number(fields, "share", 0, 1, 1.0)
    if share != 1 and kind in ("restart", "none"):
        raise OrderError(f"{kind} strikes every connection: share must be 1 or absent")
    return Order(
        kind=kind,
        seconds=_number(fields, "seconds", 0.001, LONGEST_S, 0.0) if "seconds" in fields else None,
        ms=_number(fields, "ms", 0.001, 600_000, 0.0),
        bytes_per_second=_whole(fields, "bytesPerSecond", 1, 10**12, 0),
        share=share,
        seed=_whole(fields, "seed", 0, 2**53, 1),
        connections=_connections(fields["connections"]) if "connections" in fields else None,
    )


def _check_names(kind: str, fields: Mapping[str, Any]) -> None:
    need = _NEEDS[kind]
    if need is not None and need not in fields:
        raise OrderError(f"{kind} needs {need}")
    for name in fields:
        if name not in _FIELDS:
            raise OrderError(f"unknown field {name!r:.60}: there are {', '.join(_FIELDS)}")
        if name not in ("kind", need, *_MAY[kind]):
            raise OrderError(f"{kind} takes no {name}")


def _number(fields: Mapping[str, Any], name: str, lowest: float, highest: float, default: float) -> float:
    value = fields.get(name)
    if value is None:
        return default
    # NaN passes every comparison the wrong way round, hence the positive form.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value <= highest:
        raise OrderError(f"{name} must be a number from {lowest:g} to {highest:g}")
    return value


def _whole(fields: Mapping[str, Any], name: str, lowest: int, highest: int, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise OrderError(f"{name} must be a whole number from {lowest} to {highest}")
    return value


def _connections(value: object) -> tuple[Peer, ...]:
    if not isinstance(value, list):
        raise OrderError("connections must be a list of [address, port]")
    return tuple(_peer(one) for one in value)


def _peer(value: object) -> Peer:
    if isinstance(value, list) and len(value) == 2:
        address, port = value
        if isinstance(address, str) and isinstance(port, int) and not isinstance(port, bool):
            return address, port
    raise OrderError(f"connections must be a list of [address, port], not of {value!r:.60}")
