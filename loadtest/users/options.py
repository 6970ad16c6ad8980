"""Which flags does a run have, and what do they mean?

All share the prefix ``--rt-``; Locust reads them from the command line, ``LOCUST_RT_…`` variables,
``locust.conf`` and ``[tool.locust]`` alike, and offers them in its web UI. They stay words until ``read``,
so that the web UI may change them, and so that everything wrong with them is said at once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.measure.faults import Fault
from loadtest.measure.faults import parse as parse_faults
from loadtest.measure.plan import Plan
from loadtest.measure.room_sizes import parse_room_sizes
from loadtest.measure.stages import Stage, contradictions, most_users, resolve, whole_ns
from loadtest.measure.stages import parse as parse_stages
from loadtest.measure.units import SECOND, parse_duration, parse_rate, say_seconds
from loadtest.users import server_source

DEFAULT_HOST = "http://127.0.0.1:3000"
TRANSPORTS = ("websocket", "upgrade", "long-polling", "interval-polling")
RECONNECTS = ("documented", "js", "python", "none")
CLIENTS = ("native", "python-socketio")
SECRETS = ("rt_token_secret",)
"""Options whose values never leave the process."""

LARGEST_PAYLOAD = 100_000_000
"""Bytes: the largest maxHttpBufferSize that anybody would set; beyond it a typing error."""

_T = TypeVar("_T")


class Flag(NamedTuple):
    """One flag as the parser needs it."""

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] | None = None
    switch: bool = False
    repeat: bool = False


FLAGS = (
    Flag("transport", "websocket", "how users reach the server", TRANSPORTS),
    Flag("client", "native", "Socket.IO client: our own, or the stock one to compare with", CLIENTS),
    Flag("rate", "6/m", "messages each user sends: 6/m, 0.1/s; a bare number is per minute"),
    Flag(
        "room-size", "10", "members of a conversation, or sizes with their share of users: 2:80,20:18,200:2"
    ),
    Flag("stages", "", "load in steps, DURATION:USERS each: 60s:20,60s:100; a step holds its users"),
    Flag("payload-bytes", "150", "length of a message's body"),
    Flag("seed", "1", "what two runs must share to ask the same at the same moments"),
    Flag("warmup", "", "how long to warm up (default: the smaller of 30s and a fifth of -t)"),
    Flag(
        "drain", "", "the last part of -t, in which nothing is sent (default: the smaller of 10s and a fifth)"
    ),
    Flag("deadline", "", "a delivery that takes longer than this is lost (default: 10s, more with faults)"),
    Flag("reconnect", "documented", "how a lost connection comes back", RECONNECTS),
    Flag("fault", "", "what to break: KIND@START[xCOUNT/EVERY][~SHARE][:ARG], such as abort@10x3/15~0.3"),
    Flag("fault-control", "", "control URL of a fault proxy on the way (default: what the server announces)"),
    Flag("devices", "1", "devices each user is connected with at the same time"),
    Flag("operators", "", "how many users are live chat operators (default: a tenth)"),
    Flag("headers", "library", "whose request headers polling users send", ("library", "browser")),
    Flag("compression", "off", "offer permessage-deflate", ("on", "off")),
    Flag("contract", "", "how the application talks: TOML file, or name of an example (default: built in)"),
    Flag("slo", None, "what must hold: FILE.toml, or 'message.deliver: p(95)<100'; repeatable", repeat=True),
    Flag(
        "server-metrics", "", "the server's own figures: URL of Prometheus text, or pid:1234 on this machine"
    ),
    Flag("out", "reports", "directory for run directories"),
    Flag("token-secret", DEVELOPMENT_SECRET, "secret that signs the users' tokens"),
    Flag("allow-remote", False, "put load on a host that is not this machine", switch=True),
    Flag("insecure", False, "trust any certificate of an https host", switch=True),
    Flag("fire-deliveries", False, "fire Locust's request event for each delivery (costly)", switch=True),
)


_scenario: dict[str, str] = {}


def defaults(**flags: str) -> None:
    """For a scenario, at its top: other defaults for some flags, ``defaults(fault="abort@0~0.3")``.

    Locust loads the scenario before it builds its parser, so ``--help`` and the web UI show them too.
    """
    known = {flag.name.replace("-", "_") for flag in FLAGS if not flag.switch}
    unknown = sorted(set(flags) - known)
    if unknown:
        raise ValueError(f"defaults({unknown[0]}=...): there is no flag --rt-{unknown[0].replace('_', '-')}")
    _scenario.update(flags)


def default_of(flag: Flag) -> Any:
    """What a flag is if nobody says: the scenario's word comes before our own."""
    return _scenario.get(flag.name.replace("-", "_"), flag.default)


def add_arguments(parser: Any) -> None:
    """Add our group to Locust's parser."""
    group = parser.add_argument_group("realtime-loadtest")
    for known in FLAGS:
        flag = known._replace(default=default_of(known))
        settings: dict[str, Any] = {"env_var": f"LOCUST_RT_{flag.name.upper().replace('-', '_')}"}
        if flag.switch:
            settings["action"] = "store_true"
        elif flag.repeat:
            # A list, or none: what comes is added to it.
            default = list(words(flag.default)) or None
            settings |= {"action": "append", "default": default, "metavar": "FILE|EXPR"}
        else:
            settings |= {"default": flag.default, "choices": flag.choices, "metavar": _metavar(flag)}
        action = group.add_argument(f"--rt-{flag.name}", help=flag.help, **settings)
        # What LocustArgumentParser.add_argument would set; a group of argparse does not pass it on.
        action.include_in_web_ui = flag.name not in ("out", "allow-remote")
        action.is_secret = action.dest in SECRETS
        action.is_required = action.is_multiple = False


def _metavar(flag: Flag) -> str | None:
    return None if flag.choices else flag.name.upper().replace("-", "_")


class Settings(NamedTuple):
    """The flags of one run, understood. Rates per second, durations in ns; None: the default of the plan."""

    host: str
    transport: str
    client: str
    rate: float
    room_sizes: tuple[tuple[int, float], ...]
    """(members, share of users), shares adding up to 1."""
    stages: tuple[Stage, ...]
    """Empty: all users at once, and in a worker, which is told how many users it has."""
    payload_bytes: int
    seed: int
    warmup_ns: int | None
    drain_ns: int | None
    deadline_ns: int | None
    """None: 10 s, and more with faults."""
    reconnect: str
    faults: tuple[Fault, ...]
    fault_control: str | None
    devices: int
    operators: int | None
    headers: str
    compression: bool
    contract: Path | None
    slo: tuple[str, ...]
    """SLO files and expressions, as they were typed."""
    server_metrics: server_source.Asked | None
    out: Path
    token_secret: str
    allow_remote: bool
    insecure: bool
    fire_deliveries: bool
    run_time_ns: int | None


class SettingsError(Exception):
    """Flags that make no sense; ``faults`` has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def read(options: argparse.Namespace, host: str | None, users: int | None = None) -> Settings:
    """Understand the flags. users: all there will be, where -u says something else by now.

    Raises SettingsError with every fault at once.
    """
    faults: list[str] = []

    def take(name: str, understand: Callable[[str], _T], fallback: _T) -> _T:
        try:
            return understand(str(getattr(options, "rt_" + name.replace("-", "_"))))
        except ValueError as error:
            faults.append(f"--rt-{name}: {error}")
            return fallback

    run_time = getattr(options, "run_time", None)
    users = getattr(options, "num_users", None) if users is None else users
    run_time_ns = None if run_time is None else round(float(run_time) * SECOND)
    stages: tuple[Stage, ...] = ()
    if not getattr(options, "worker", False):
        stages = take("stages", _stages_of(users), ())
    contract = str(options.rt_contract or "")
    settings = Settings(
        host=(host or DEFAULT_HOST).rstrip("/"),
        transport=take("transport", _one_of(TRANSPORTS), ""),
        client=take("client", _one_of(CLIENTS), ""),
        rate=take("rate", parse_rate, 0.0),
        room_sizes=take("room-size", parse_room_sizes, ()),
        stages=stages,
        payload_bytes=take("payload-bytes", _size, 0),
        seed=take("seed", _whole, 0),
        warmup_ns=take("warmup", _duration_or_default, None),
        drain_ns=take("drain", _duration_or_default, None),
        deadline_ns=take("deadline", _some_time_or_default, None),
        reconnect=take("reconnect", _one_of(RECONNECTS), ""),
        faults=take("fault", parse_faults, ()),
        fault_control=str(options.rt_fault_control or "") or None,
        devices=take("devices", _positive, 1),
        operators=take("operators", _positive_or_default, None),
        headers=take("headers", _one_of(("library", "browser")), ""),
        compression=take("compression", _one_of(("on", "off")), "") == "on",
        contract=Path(contract) if contract else None,
        slo=words(options.rt_slo),
        server_metrics=take("server-metrics", server_source.parse, None),
        out=Path(options.rt_out),
        token_secret=take("token-secret", _something, ""),
        allow_remote=bool(options.rt_allow_remote),
        insecure=bool(options.rt_insecure),
        fire_deliveries=bool(options.rt_fire_deliveries),
        run_time_ns=whole_ns(stages) if run_time_ns is None and stages else run_time_ns,
    )
    if settings.client == "python-socketio" and settings.transport != "websocket":
        faults.append("--rt-client python-socketio: only with --rt-transport websocket")
    spawn_rate = float(getattr(options, "spawn_rate", None) or 1)
    faults += [f"--rt-stages: {line}" for line in contradictions(stages, users, spawn_rate, run_time_ns)]
    faults += _contradictions(settings, users or most_users(stages) or None)
    if faults:
        raise SettingsError(faults)
    return settings


def _contradictions(settings: Settings, users: int | None) -> list[str]:
    """What is wrong with flags that are each right by themselves."""
    found = []
    if users and settings.operators and settings.operators >= users:
        found.append(f"--rt-operators {settings.operators}: of {users} users (-u), some must be visitors")
    sizes = settings.room_sizes
    largest = max((size for size, _ in sizes), default=0)
    if users and largest > users and sizes != parse_room_sizes(_default("room-size")):
        found.append(f"--rt-room-size: conversations of {largest} need at least that many users (-u {users})")
    end_ns = _measured_at_most(settings)
    for fault in settings.faults:
        if end_ns is not None and fault.last_ns >= end_ns:
            found.append(
                f"--rt-fault {fault.text}: strikes {say_seconds(fault.last_ns / SECOND)} into measure, which has "
                f"at most {say_seconds(max(0, end_ns) / SECOND)} with this -t, --rt-warmup and --rt-drain"
            )
        if fault.kind == "stop-reading" and settings.client != "native":
            found.append(f"--rt-fault {fault.text}: only with --rt-client native")
    return found


def _default(name: str) -> str:
    return next(str(flag.default) for flag in FLAGS if flag.name == name)


def _measured_at_most(settings: Settings) -> int | None:
    if settings.run_time_ns is None:
        return None
    plan = Plan(0, settings.run_time_ns, settings.warmup_ns, settings.drain_ns)
    return settings.run_time_ns - plan.warmup_ns - plan.drain_ns


def words(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """What a repeatable flag was given; one field of a form holds several, apart by semicolons or lines."""
    several = [given] if isinstance(given, str) else _rejoined(given or [])
    found = [part.strip() for one in several for part in re.split(r"[;\n]", one)]
    return tuple(dict.fromkeys(part for part in found if part))


def _rejoined(several: Iterable[str]) -> list[str]:
    """A list in a variable, in locust.conf or in the form was cut at every comma, also at those between braces."""
    found: list[str] = []
    for one in several:
        if found and found[-1].count("{") > found[-1].count("}"):
            found[-1] += f",{one}"
        else:
            found.append(one)
    return found


def _stages_of(users: int | None) -> Callable[[str], tuple[Stage, ...]]:
    return lambda text: () if text in ("", "None") else resolve(parse_stages(text), users)


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    def understand(text: str) -> str:
        if text not in names:
            raise ValueError(f"{text!r} is none of {', '.join(names)}")
        return text

    return understand


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise ValueError(f"{text!r} must be at least 1")
    return number


def _size(text: str) -> int:
    number = _positive(text)
    if number > LARGEST_PAYLOAD:
        raise ValueError(f"{text!r} is more than any server takes in one message ({LARGEST_PAYLOAD} bytes)")
    return number


def _something(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _duration_or_default(text: str) -> int | None:
    return None if text in ("", "None") else parse_duration(text)


def _positive_or_default(text: str) -> int | None:
    return None if text in ("", "None") else _positive(text)


def _some_time_or_default(text: str) -> int | None:
    if text in ("", "None"):
        return None
    duration = parse_duration(text)
    if duration <= 0:
        raise ValueError(f"{text!r} must be longer than nothing")
    return duration
