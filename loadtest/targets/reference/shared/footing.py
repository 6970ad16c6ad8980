"""What was agreed on when the log began?"""

import secrets
import time
from collections.abc import Mapping

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from loadtest.targets.reference.settings import Settings
from loadtest.targets.reference.shared import SharedStateError
from loadtest.targets.reference.shared.keys import Keys
from loadtest.targets.reference.shared.link import CONNECT_WITHIN_S, reason, shown

# Lower than any id that Redis gives, so that it can be written into an empty log only: by one instance.
FIRST_ID = "0-1"
FIELD = b"begun"
# A log that nobody writes to any more is forgotten.
KEPT_S = 3600
# Instances that differ in one of these would not do the same to their copies of the state.
SWITCHES = {
    "RATE_LIMIT": "rate_limit",
    "RATE_LIMIT_SCOPE": "rate_limit_scope",
    "RING_TIMEOUT": "ring_timeout_s",
    "PARTY_GRACE": "party_grace_s",
    "PRESENCE_GRACE": "presence_grace_s",
    "PRESENCE_BROADCAST": "presence_broadcast",
    "LIVECHAT_ASSIGN": "livechat_assign",
    "VISITOR_GRACE": "visitor_grace_s",
    "CLOCK_RATE": "clock_rate",
}


class Footing(msgspec.Struct, frozen=True):
    """The first entry of the log: `boot` begins the ids that are given out, `since_ns` is when time began to
    pass at the rate of CLOCK_RATE."""

    boot: str
    since_ns: int
    switches: dict[str, str]


def agree(settings: Settings) -> Footing:
    """The footing of the cluster, which this instance lays if nobody has. Raises SharedStateError."""
    own = Footing(secrets.token_hex(4), time.time_ns(), _switches(settings))
    key = Keys(settings.cluster).log
    no_log = f"the key {key} at {shown(settings.redis_url)} is no log of this server: name another CLUSTER"
    try:
        found = _first(settings.redis_url, key, own)
    except ResponseError as bad:
        raise SharedStateError(no_log) from bad
    except (RedisError, OSError, ValueError) as bad:
        raise SharedStateError(
            f"cannot use the Redis at {shown(settings.redis_url)} (REDIS_URL): {reason(bad)}: start one with "
            "redis-server, or correct the URL"
        ) from bad
    try:
        footing = msgspec.msgpack.decode(found, type=Footing)
    except msgspec.MsgspecError as bad:
        raise SharedStateError(no_log) from bad
    _compare(settings.cluster, footing.switches, own.switches)
    return footing


def _first(url: str, key: str, own: Footing) -> bytes:
    with redis.Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_WITHIN_S,
        socket_timeout=CONNECT_WITHIN_S,
    ) as client:
        try:
            client.xadd(key, {FIELD: msgspec.msgpack.encode(own)}, id=FIRST_ID)
            client.expire(key, KEPT_S)
        except ResponseError:
            pass  # there is a log already
        return first_of(client.xrange(key, count=1))


def first_of(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> bytes:
    """The footing in the answer to XRANGE, encoded; empty if the log does not begin with one."""
    for entry_id, fields in entries:
        if entry_id.decode() == FIRST_ID:
            return fields.get(FIELD, b"")
    return b""


def _switches(settings: Settings) -> dict[str, str]:
    return {name: str(getattr(settings, field)) for name, field in SWITCHES.items()}


def _compare(cluster: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    differing = [
        f"{name}={theirs.get(name)}, here it is {value}"
        for name, value in ours.items()
        if theirs.get(name) != value
    ]
    if differing:
        raise SharedStateError(
            f"the cluster {cluster} was begun with {'; '.join(differing)}: give all instances the same switches, "
            "or name another CLUSTER"
        )
