"""How is the reference server to run? Environment switches, checked together: every fault is named at
once."""

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from loadtest.contract.development import DEVELOPMENT_SECRET

RATE_WINDOW_MS = 60_000
SCOPES = ("messages", "all")
ASSIGNMENTS = ("auto", "manual")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_NAME_WORDS = "1-64 characters of A-Z a-z 0-9 _ . -"
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)
_REDIS_URL = re.compile(r"(redis|rediss|unix)://.+", re.ASCII)


def own_name() -> str:
    """What an instance is called that nobody has named: its host and its process."""
    return _UNFIT.sub("-", socket.gethostname())[:48] + f"-{os.getpid()}"


class SettingsError(ValueError):
    """Every switch that is wrong, in `faults`, one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Settings:
    """Seconds and bytes as the names say; `rate_limit` 0 means none; `port` 0 means any free one."""

    port: int = 3000
    bind: str = "127.0.0.1"
    enable_websocket: bool = True
    rate_limit: int = 100
    rate_limit_scope: str = "messages"
    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    max_http_buffer_bytes: int = 1_000_000
    websocket_compression: bool = False
    cors_origin: str = "*"
    token_secret: str = DEVELOPMENT_SECRET
    test_hooks_wanted: bool = True
    ring_timeout_s: float = 30.0
    party_grace_s: float = 10.0
    presence_grace_s: float = 5.0
    presence_broadcast: bool = True
    livechat_assign: str = "auto"
    visitor_grace_s: float = 60.0
    fault_control: str = ""
    clock_rate: int = 1
    redis_url: str = ""
    cluster: str = "loadtest-reference"
    instance: str = field(default_factory=own_name)
    instance_timeout_s: float = 5.0

    @property
    def shared(self) -> bool:
        """Is this one of several instances that behave as one server?"""
        return bool(self.redis_url)

    @property
    def on_loopback(self) -> bool:
        if self.bind == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.bind).is_loopback
        except ValueError:
            return False

    @property
    def test_hooks(self) -> bool:
        """Whoever reaches the hooks can freeze the server, so they exist on loopback only."""
        return self.test_hooks_wanted and self.on_loopback

    @staticmethod
    def from_environment(environment: Mapping[str, str]) -> "Settings":
        """Reads PORT, BIND, ENABLE_WEBSOCKET, RATE_LIMIT, RATE_LIMIT_SCOPE, PING_INTERVAL, PING_TIMEOUT
        (seconds), MAX_HTTP_BUFFER_SIZE, WEBSOCKET_COMPRESSION (agree to permessage-deflate), CORS_ORIGIN,
        TOKEN_SECRET, TEST_HOOKS; RING_TIMEOUT, PARTY_GRACE, PRESENCE_GRACE, VISITOR_GRACE (seconds),
        PRESENCE_BROADCAST, LIVECHAT_ASSIGN; FAULT_CONTROL (the URL of a fault proxy that stands in front);
        CLOCK_RATE (seconds that pass in one, so that a test need not wait); REDIS_URL, CLUSTER (begins all
        keys), INSTANCE (the name of this one), INSTANCE_TIMEOUT (seconds after which a silent one is
        dead). Raises SettingsError with all faults."""
        read = _Reader(environment)
        settings = Settings(
            port=read.whole("PORT", 3000, 0, 65_535),
            bind=read.text("BIND", "127.0.0.1"),
            enable_websocket=read.switch("ENABLE_WEBSOCKET", True),
            rate_limit=read.whole("RATE_LIMIT", 100, 0, 1_000_000_000),
            rate_limit_scope=read.choice("RATE_LIMIT_SCOPE", SCOPES),
            ping_interval_s=read.seconds("PING_INTERVAL", 25.0),
            ping_timeout_s=read.seconds("PING_TIMEOUT", 20.0),
            max_http_buffer_bytes=read.whole("MAX_HTTP_BUFFER_SIZE", 1_000_000, 1_000, 1_000_000_000),
            websocket_compression=read.switch("WEBSOCKET_COMPRESSION", False),
            cors_origin=read.text("CORS_ORIGIN", "*"),
            token_secret=read.text("TOKEN_SECRET", DEVELOPMENT_SECRET),
            test_hooks_wanted=read.switch("TEST_HOOKS", True),
            ring_timeout_s=read.seconds("RING_TIMEOUT", 30.0),
            party_grace_s=read.seconds("PARTY_GRACE", 10.0),
            presence_grace_s=read.seconds("PRESENCE_GRACE", 5.0),
            presence_broadcast=read.switch("PRESENCE_BROADCAST", True),
            livechat_assign=read.choice("LIVECHAT_ASSIGN", ASSIGNMENTS),
            visitor_grace_s=read.seconds("VISITOR_GRACE", 60.0),
            fault_control=read.text("FAULT_CONTROL", ""),
            clock_rate=read.whole("CLOCK_RATE", 1, 1, 1000),
            redis_url=read.like("REDIS_URL", "", _REDIS_URL, "a URL: redis://127.0.0.1:6379/0"),
            cluster=read.like("CLUSTER", "loadtest-reference", _NAME, _NAME_WORDS),
            instance=read.like("INSTANCE", own_name(), _NAME, _NAME_WORDS),
            instance_timeout_s=read.seconds("INSTANCE_TIMEOUT", 5.0),
        )
        faults = read.faults + _contradictions(settings)
        if faults:
            raise SettingsError(faults)
        return settings


def _contradictions(settings: Settings) -> list[str]:
    faults = []
    if len(settings.token_secret.encode()) < 32:
        faults.append("TOKEN_SECRET must have at least 32 bytes (HS256 is weaker than its key)")
    if settings.token_secret == DEVELOPMENT_SECRET and not settings.on_loopback:
        faults.append(
            f"BIND={settings.bind} is reachable from elsewhere and the development token secret is public: "
            "set TOKEN_SECRET, or bind 127.0.0.1"
        )
    if settings.clock_rate != 1 and not settings.test_hooks:
        faults.append("CLOCK_RATE is for tests: it needs the test hooks")
    return faults


class _Reader:
    """Reads one switch at a time and goes on after a fault, with the default in its place."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.faults: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self._environment.get(name, "").strip() or default

    def like(self, name: str, default: str, form: re.Pattern[str], words: str) -> str:
        given = self.text(name, default)
        if given == default or form.fullmatch(given):
            return given
        self.faults.append(f"{name}={given} must be {words}")
        return default

    def whole(self, name: str, default: int, lowest: int, highest: int) -> int:
        given = self.text(name, str(default))
        if given.isascii() and given.isdigit() and lowest <= int(given) <= highest:
            return int(given)
        self.faults.append(f"{name}={given} must be a whole number from {lowest} to {highest}")
        return default

    def seconds(self, name: str, default: float) -> float:
        given = self.text(name, str(default))
        try:
            value = float(given)
        except ValueError:
            value = 0.0
        if 0.01 <= value <= 86_400:
            return value
        self.faults.append(f"{name}={given} must be a number of seconds from 0.01 to 86400")
        return default

    def switch(self, name: str, default: bool) -> bool:
        given = self.text(name, "1" if default else "0").lower()
        if given not in _TRUE | _FALSE:
            self.faults.append(f"{name}={given} must be true or false")
            return default
        return given in _TRUE

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        given = self.text(name, allowed[0])
        if given not in allowed:
            self.faults.append(f"{name}={given} must be {' or '.join(allowed)}")
            return allowed[0]
        return given
