"""Is there a server, does it speak the contract, may we put load on it? Asked before a run, not during it.

Every refusal is one line that says what is wrong and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from loadtest.contract import Contract, ContractError
from loadtest.contract import load as load_contract
from loadtest.measure.units import SECOND
from loadtest.users import greeting
from loadtest.users.causes import UNSTICKY, Cause, ConnectFailed
from loadtest.users.connection import Listeners, NativeConnection, Place
from loadtest.users.cookies import Cookies
from loadtest.users.host import Refused, is_loopback, locate, may_load
from loadtest.users.http import Response, fetch
from loadtest.users.link import ActionFailed, Hearing
from loadtest.users.login import Identity, Named, log_in, shown
from loadtest.users.longpolling import LongPollingConnection
from loadtest.users.options import Settings
from loadtest.users.requests import Requests, parsed
from loadtest.users.socket_link import SocketLink
from loadtest.users.tokens import sign
from loadtest.users.ways import approach, blocked

__all__ = ["Refused", "Target", "contract_of", "examine", "is_loopback", "locate", "may_load"]

UNVERIFIED = "The server's certificate was not verified in this run (--rt-insecure)."

_TIMEOUT_S = 10.0
_POLLING = "interval-polling"


class _Blocked(Refused):
    """This transport does not get through; another may."""


class Target(msgspec.Struct, frozen=True):
    """What was found at the host. ``notes``: what a reader of the report should know about the server."""

    url: str
    loopback: bool
    stats: bool
    websocket: bool
    rate_limit: int | None
    ping_interval_s: float | None = None
    ping_timeout_s: float | None = None
    max_payload: int | None = None
    poll_interval_s: float | None = None
    fault_control: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def silence_ns(self) -> int:
        """After how long without a ping the server counts as dead; Engine.IO's default where it did not say."""
        if self.ping_interval_s is None or self.ping_timeout_s is None:
            return 45 * SECOND
        return round((self.ping_interval_s + self.ping_timeout_s) * SECOND)


def contract_of(settings: Settings) -> Contract:
    """The contract that was asked for. Raises Refused."""
    try:
        return load_contract(settings.contract)
    except ContractError as error:
        raise Refused(str(error)) from None


def examine(
    place: Place, settings: Settings, contract: Contract, ladders: Iterable[tuple[str, ...]] = ()
) -> Target:
    """Talk to the server as one user would. Raises Refused.

    ladders: the transports of each kind of users, the best first; none: the one of ``--rt-transport``.
    """
    try:
        if place.secure is not None and (misfit := greeting.misfit(place, _TIMEOUT_S)) is not None:
            raise Refused(f"{place.base}: {misfit}")
        return _examine(place, settings, contract, ladders)
    except ConnectFailed as error:
        raise Refused(_unreachable(place, error)) from None
    except Refused:
        if place.secure is None and greeting.speaks_tls(place):
            https = place.base.replace("http", "https", 1)
            raise Refused(f"{place.base}: it speaks TLS; use {https}") from None
        raise


def _examine(
    place: Place, settings: Settings, contract: Contract, ladders: Iterable[tuple[str, ...]]
) -> Target:
    health = contract.connect.health
    if health is not None:
        response = _ask(place, health.path)
        if not health.ok(response.status, parsed(response.body)):
            raise Refused(
                f"{place.base}{health.path}: answered HTTP {response.status}, not as the contract "
                f'"{contract.name}" says; is this the right server?'
            )
    config = _config(place, contract)
    websocket = contract.connect.config is None or contract.connect.config.websocket(config)
    stats = _has_stats(place, contract)
    limit = _rate_limit(config)
    control = None if contract.connect.config is None else contract.connect.config.fault_control(config)
    notes = _notes(limit, contract)
    if place.secure is not None and not place.secure.verify:
        notes += (UNVERIFIED,)
    target = Target(
        place.base, is_loopback(place), stats, websocket, limit, fault_control=control, notes=notes
    )
    for ladder in dict.fromkeys(ladders) or ((settings.transport,),):
        target = _examine_ladder(place, settings, contract, target, ladder)
    return target


def _examine_ladder(
    place: Place, settings: Settings, contract: Contract, target: Target, ladder: tuple[str, ...]
) -> Target:
    """One transport that lets users in is enough; if there is none, the last one's refusal is said."""
    if _POLLING in ladder and not contract.feeds:
        raise Refused(f'contract "{contract.name}": has no [[feeds]], so users cannot poll')
    for rung in ladder[:-1]:
        try:
            return _examine_rung(place, settings, contract, target, rung)
        except _Blocked:
            pass  # as the users themselves will: on to the next
    return _examine_rung(place, settings, contract, target, ladder[-1])


def _examine_rung(place: Place, settings: Settings, contract: Contract, target: Target, rung: str) -> Target:
    if rung == _POLLING:
        return _examine_feed(place, settings, contract, target)
    if not target.websocket:
        raise _Blocked(
            f"{place.base}: its /api/config says that WebSocket is off; use --rt-transport interval-polling"
        )
    return _examine_socket(place, settings, contract, target, rung)


def _ask(place: Place, path: str) -> Response:
    try:
        return fetch(place, path, _TIMEOUT_S)
    except ConnectFailed as error:
        if error.cause is Cause.PARSE_ERROR:
            raise Refused(f"{place.base}: something listens there, but it does not speak HTTP") from None
        raise Refused(_unreachable(place, error)) from None


def _unreachable(place: Place, error: ConnectFailed) -> str:
    if error.cause is Cause.CONNECT_REFUSED:
        return (
            f"{place.base}: no server there ({error.detail}); "
            "start one with `loadtest serve`, or name yours with -H URL"
        )
    return f"{place.base}: {error.cause} ({error.detail})"


def _config(place: Place, contract: Contract) -> Any:
    if contract.connect.config is None:
        return None
    response = _ask(place, contract.connect.config.path)
    return parsed(response.body) if response.status == 200 else None


def _has_stats(place: Place, contract: Contract) -> bool:
    if contract.hooks.stats is None:
        return False
    return _ask(place, contract.hooks.stats).status == 200


def _rate_limit(config: Any) -> int | None:
    limit = config.get("rateLimit") if isinstance(config, dict) else None
    value = limit.get("limit") if isinstance(limit, dict) else None
    return value if isinstance(value, int) else None


def _notes(limit: int | None, contract: Contract) -> tuple[str, ...]:
    usual = contract.documented.rate_limit
    if limit is None or usual is None or limit == usual.limit:
        return ()
    said = (
        "switched off"
        if limit == 0
        else f"raised to {limit}"
        if limit > usual.limit
        else f"lowered to {limit}"
    )
    return (f"The server's limit of {usual.limit} messages a minute per socket was {said} for this run.",)


def _examine_feed(place: Place, settings: Settings, contract: Contract, target: Target) -> Target:
    """Ask the feed as a user of its own would."""
    feed, (identity, cookies) = contract.feeds[0], _newcomer(place, settings, contract)
    requests = Requests(contract, identity, place, settings.headers, _NOBODY, cookies)
    try:
        response = requests.ask("GET", feed.target(identity), None, _TIMEOUT_S)
    except ActionFailed as error:
        raise Refused(_unreachable(place, ConnectFailed(error.cause, error.detail))) from None
    finally:
        requests.pool.close()
    if feed.outcome(response.status) != "news":
        hint = "is --rt-token-secret the server's?" if response.status in (401, 403) else "is its path right?"
        raise Refused(
            f'{place.base}: feed "{feed.name}" answered HTTP {response.status} {shown(response)}; {hint}'
        )
    return msgspec.structs.replace(target, poll_interval_s=feed.interval_ms / 1000)


def _newcomer(place: Place, settings: Settings, contract: Contract) -> tuple[Identity, Cookies]:
    """A user of its own, logged in where the contract wants that. Raises Refused."""
    user, cookies = "preflight", Cookies()
    identity = Named.of(contract).identity(place, user, user, "user", user)
    identity["token"] = sign(settings.token_secret, user)
    requests = Requests(contract, identity, place, settings.headers, _NOBODY, cookies)
    try:
        log_in(contract, identity, requests, _TIMEOUT_S)
    except ConnectFailed as error:
        raise Refused(f"{place.base}: {error.detail}; is [[login]] of the contract right?") from None
    return identity, cookies


def _examine_socket(
    place: Place, settings: Settings, contract: Contract, target: Target, transport: str
) -> Target:
    """Connect, authenticate and leave again as a user of its own."""
    made: list[NativeConnection | LongPollingConnection] = []
    identity, cookies = _newcomer(place, settings, contract)

    def connect(listeners: Listeners, auth: Any) -> NativeConnection | LongPollingConnection:
        way = approach(contract, identity, place, settings.headers)
        terms: dict[str, Any] = {"namespace": way.namespace, "query": way.query}
        if transport == "websocket":
            compressed = settings.compression
            headers = cookies.beside(way.headers)
            made.append(NativeConnection(place, way.path, auth, headers, compressed, listeners, **terms))
        else:  # where an upgrade begins, too; one that does not succeed is no reason to stay away
            made.append(
                LongPollingConnection(place, way.path, auth, way.head, listeners, cookies=cookies, **terms)
            )
        return made[0]

    link = SocketLink(
        contract,
        identity,
        connect,
        _NOBODY,
        lambda: Requests(contract, identity, place, settings.headers, _NOBODY, cookies),
    )
    try:
        link.open(_TIMEOUT_S)
        opened = made[0].opened
    except ConnectFailed as error:
        refusal = _Blocked if blocked(error) else Refused
        raise refusal(_not_let_in(place, contract, error)) from None
    finally:
        link.close()
    if opened is None:
        return target
    most = opened.max_payload
    # With bytes as Base64, which is what they are over polling; and the packet's own "420" in front.
    size = 3 + len(msgspec.json.encode((contract.send.emit, *_longest(settings, contract, identity))))
    if most is not None and size > most:
        raise Refused(
            f"--rt-payload-bytes {settings.payload_bytes}: a message would be {size} bytes, "
            f"the server takes {most} (its maxPayload)"
        )
    return msgspec.structs.replace(
        target,
        ping_interval_s=opened.ping_interval_ns / 1e9,
        ping_timeout_s=opened.ping_timeout_ns / 1e9,
        max_payload=opened.max_payload,
    )


def _raise(error: BaseException) -> None:
    raise error


_NOBODY = Hearing(lambda name, args, read_ns: None, lambda cause, why: None, _raise, lambda lag_ns: None)


def _longest(settings: Settings, contract: Contract, identity: Identity) -> list[object]:
    variables = {"room": "r" * 32, "marker": "m" * 32, "peer": "p" * 32, "body": "x" * settings.payload_bytes}
    return contract.send.args({**identity, **variables})


def _not_let_in(place: Place, contract: Contract, error: ConnectFailed) -> str:
    where = f"{place.base}{contract.connect.path}"
    if error.cause is Cause.CONNECT_ERROR:
        hint = "; is --rt-token-secret the server's?" if error.detail.startswith("AUTH_") else ""
        return f"{place.base}: the server refused a user: {error.detail}{hint}"
    if error.cause is Cause.SESSION_UNKNOWN:
        return f"{where}: {UNSTICKY} ({error.detail})"
    if error.cause in (Cause.HANDSHAKE_REFUSED, Cause.PARSE_ERROR):
        return f"{where}: no Socket.IO server there ({error.detail}); is connect.path of the contract right?"
    if error.cause is Cause.OTHER_VERSION:
        wanted = "this client speaks Socket.IO 3 and later (Engine.IO 4): upgrade the server"
        return f"{where}: {error.detail}; {wanted}"
    if error.cause is Cause.CONNECT_TIMEOUT:
        return f"{where}: something listens, but no Socket.IO handshake came of it ({error.detail})"
    return _unreachable(place, error)
