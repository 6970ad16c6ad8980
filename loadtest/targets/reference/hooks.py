"""How does a test look into the server and disturb it? `/__stats`, `/__fault` and tokens for the asking."""

import asyncio
import os
import time
from typing import Any

import psutil
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loadtest.targets.reference.answers import answer, get, post
from loadtest.targets.reference.clock import MS, SECOND
from loadtest.targets.reference.core import Core
from loadtest.targets.reference.domains import Domains
from loadtest.targets.reference.faults import STRIKES_SOCKETS, parse_fault
from loadtest.targets.reference.gateway import Gateway
from loadtest.targets.reference.refusal import Refusal
from loadtest.targets.reference.rest import Rest
from loadtest.targets.reference.tokens import ROLES
from loadtest.targets.reference.ways import Way

# The answer has to be on the wire before the loop stands still.
FREEZE_AFTER_S = 0.02


class OwnStats:
    """What this process says of itself."""

    def __init__(self, core: Core, gateway: Gateway, domains: Domains) -> None:
        self._rooms = core.rooms
        self._faults = core.faults
        self._counters = core.counters
        self._gateway = gateway
        self._domains = domains
        self._process = psutil.Process()

    def now(self) -> dict[str, Any]:
        counters = self._counters
        return {
            "sockets": len(self._gateway.sessions),
            "rooms": len(self._rooms),
            "received": counters.received,
            "emitted": counters.emitted,
            "accepted": counters.accepted,
            "rateLimited": counters.rate_limited,
            **self._domains.stats(),
            "faulted": self._faults.counts,
            "pid": os.getpid(),
            "cpuSeconds": time.process_time(),
            "rssBytes": self._process.memory_info().rss,
            "loopLagMsP99": counters.lag_p99_ns() / MS,
        }


class Hooks:
    def __init__(self, core: Core, rest: Rest, gateway: Gateway, way: Way, own: OwnStats) -> None:
        self._tokens = core.tokens
        self._clock = core.clock
        self._rest = rest
        self._gateway = gateway
        self._way = way
        self._own = own

    def routes(self) -> list[Route]:
        return [
            post("/api/auth/token", self._token),
            get("/__stats", self._stats),
            post("/__fault", self._fault),
        ]

    async def _token(self, request: Request) -> Response:
        fields = await self._rest.body(request)
        user = fields.get("userId") if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or not isinstance(user, str) or not 1 <= len(user) <= 128:
            raise Refusal("PAYLOAD_INVALID", "userId must be a string of 1-128 characters")
        role, lifetime_s = fields.get("role", "user"), fields.get("ttlSec", 3600)
        if not isinstance(role, str) or role not in ROLES:
            raise Refusal("PAYLOAD_INVALID", "role must be user or operator")
        if isinstance(lifetime_s, bool) or not isinstance(lifetime_s, int) or abs(lifetime_s) > 10**9:
            raise Refusal("PAYLOAD_INVALID", "ttlSec must be a whole number of seconds")
        # exp has whole seconds: announce what the token really says.
        expires_at_s = self._clock.now_ns() // SECOND + lifetime_s
        token = self._tokens.issue(user, role, expires_at_s * SECOND)
        return answer({"token": token, "userId": user, "expiresAt": expires_at_s * 1000}, status=201)

    async def _stats(self, _request: Request) -> Response:
        return answer(await self._way.stats(self._own.now))

    async def _fault(self, request: Request) -> Response:
        fault = parse_fault(await self._rest.body(request))
        told: dict[str, object] = {"ok": True, "kind": fault.kind, "struck": 0}
        if fault.kind == "freeze":
            asyncio.get_running_loop().call_later(FREEZE_AFTER_S, time.sleep, fault.ms / 1000)
        elif fault.kind in STRIKES_SOCKETS:
            sids = self._gateway.strike(fault)
            told |= {"struck": len(sids), "sids": sids}
        else:
            await self._way.order(fault)
        return answer(told)
