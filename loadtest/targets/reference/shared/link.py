"""How is Redis reached, and who hears that it is not?"""

import sys
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# What a call may raise while Redis is away: the caller tries again by itself.
AWAY = (RedisError, OSError, TimeoutError)
CONNECT_WITHIN_S = 2.0


def connect(url: str) -> Redis:
    """A client that connects when it is first used, again whenever it must, and repeats nothing by itself."""
    return Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_WITHIN_S,
        socket_timeout=None,  # callers know best how long they wait
    )


def shown(url: str) -> str:
    """The URL without its password."""
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url


def reason(why: BaseException) -> str:
    return str(why) or "it does not answer"


class Link:
    """Says once that Redis is lost, and once that it is back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.lost = False

    def lose(self, why: BaseException) -> None:
        if not self.lost:
            self.lost = True
            self._say(f"Redis at {shown(self._url)} is lost, requests wait: {reason(why)}")

    def regain(self) -> None:
        if self.lost:
            self.lost = False
            self._say(f"Redis at {shown(self._url)} is back")

    def _say(self, line: str) -> None:
        print(f"loadtest serve: {line}", file=sys.stderr, flush=True)
