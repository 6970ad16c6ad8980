"""Is there what several servers need: HAProxy, and a Redis that answers?"""

import os
import shutil

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_PATIENCE_S = 3.0
_BESIDE = "/usr/sbin:/usr/local/sbin"
"""Where Debian puts HAProxy, and who is not root does not look."""


class Missing(Exception):
    """Something is not there; ``str`` is one line that says what, and what to do."""


def haproxy() -> str:
    """The path of HAProxy. Raises Missing."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:{_BESIDE}")
    if found is None:
        raise Missing("haproxy is not installed (Debian: apt-get install haproxy)")
    return found


def ask_redis(url: str) -> None:
    """Returns if a Redis answers there. Raises Missing."""
    try:
        client = redis.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=_PATIENCE_S,
            socket_timeout=_PATIENCE_S,
        )
    except ValueError as bad:
        raise Missing(
            f"{_shown(url)}: not the URL of a Redis ({bad}); write redis://127.0.0.1:6379/0"
        ) from None
    try:
        client.ping()
    except (redis.RedisError, OSError) as bad:
        said = " ".join(str(bad).split()).rstrip(".")
        raise Missing(
            f"{_shown(url)}: no Redis answers there ({said}); start one with redis-server"
        ) from None
    finally:
        client.close()


def _shown(url: str) -> str:
    """Without its password, which has no place on a screen."""
    scheme, slashes, rest = url.partition("://")
    _, at, place = rest.rpartition("@")
    return f"{scheme}{slashes}{'***@' if at else ''}{place}"
