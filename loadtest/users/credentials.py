"""What does a device prove itself with, and when does it need something new?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

from loadtest.users.causes import ConnectFailed
from loadtest.users.cookies import Cookies
from loadtest.users.link import ACTION_TIMEOUT_S, Hearing
from loadtest.users.login import Identity, log_in
from loadtest.users.requests import Requests
from loadtest.users.tokens import sign

if TYPE_CHECKING:
    from loadtest.users.live import LiveRun


class Credentials:
    """The variables of one device: who it is, its token, and what logging in gave it.

    cookies: kept over all its connections, as a phone does; they may say which server it was on.
    """

    __slots__ = ("_known", "_live", "cookies", "identity")

    def __init__(self, live: LiveRun, user: str, device: str, role: str, room: str | None) -> None:
        self._live = live
        self._known = False
        self.cookies = Cookies()
        self.identity: Identity = live.named.identity(live.place, user, device, role, room)
        self._sign()

    def _sign(self) -> None:
        live, identity = self._live, self.identity
        user, role = str(identity["user"]), str(identity["role"])
        identity["token"] = sign(live.settings.token_secret, user, role, live.contract.token.lifetime_s)

    def log_in(self, timeout_s: float) -> None:
        """Go through the contract's login once; what it gave holds for every connection. Raises ConnectFailed."""
        live = self._live
        if self._known or not live.contract.login:
            return
        nobody = Hearing(lambda *_: None, lambda *_: None, live.fault, live.record_lag)
        headers, cookies = live.settings.headers, self.cookies
        requests = Requests(live.contract, self.identity, live.place, headers, nobody, cookies)
        log_in(live.contract, self.identity, requests, timeout_s)
        self._known = True

    def renew(self, at_once: bool) -> None:
        """A new token, as the application gets one where the old has expired.

        Where that takes a login, the next connection begins with one. at_once: there will be no next connection.
        """
        if not self._live.contract.login:
            self._sign()
            return
        self._known = False
        if at_once:
            gevent.spawn(self._log_in_again)

    def _log_in_again(self) -> None:
        try:
            self.log_in(ACTION_TIMEOUT_S)
        except ConnectFailed as error:
            self._live.note_limits(error)  # the next poll that is refused tries again
        except Exception as bug:
            self._live.fault(bug)
