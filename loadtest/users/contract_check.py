"""Does a contract fit a server? A few users come in and do one of everything; said line by line.

Run as a process of its own, ``python -m loadtest.users.contract_check``: what is asked comes as JSON on the
standard input, where no list of processes shows a secret, and what was found goes as JSON to the standard output.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from gevent import socket as gsocket

from loadtest.contract import Contract, ContractError, load
from loadtest.contract.development import DEVELOPMENT_SECRET
from loadtest.contract.variables import captured
from loadtest.users.causes import Cause, ConnectFailed
from loadtest.users.connection import Connection, Listeners, NativeConnection, Place
from loadtest.users.contract_findings import OPERATOR, STRANGER, Finding, shown
from loadtest.users.contract_people import Person
from loadtest.users.contract_script import play
from loadtest.users.contract_trial import Cast, Trial
from loadtest.users.http import fetch
from loadtest.users.login import shown as shown_body
from loadtest.users.requests import parsed
from loadtest.users.target import Refused, is_loopback, locate
from loadtest.users.ways import approach

_MEMBERS = 3


class Asked(msgspec.Struct, frozen=True):
    """What is to be checked. timeout_s: for each answer and each delivery."""

    contract: str
    host: str
    token_secret: str = DEVELOPMENT_SECRET
    allow_remote: bool = False
    insecure: bool = False
    timeout_s: float = 5.0


class Checked(msgspec.Struct, frozen=True):
    """What was found. error: why nothing could be, one line for each fault."""

    contract: str | None
    host: str
    findings: list[Finding]
    error: str | None = None


class _Over(Exception):
    """A user could not come in: there is nothing more to try."""


def check(asked: Asked) -> Checked:
    """Try it out; never raises for what a file or a server may be like."""
    name: str | None = None
    findings: list[Finding] = []
    people: list[Person] = []
    try:
        contract = load(Path(asked.contract))
        name = contract.name
        place = locate(asked.host.rstrip("/"), not asked.insecure)
        _may_load(place, contract, asked)
        _reach(place, asked.timeout_s)
        findings += _health(place, contract, asked.timeout_s)
        run = secrets.token_hex(3)
        for finding in _enter(contract, place, asked, run, people):
            findings.append(finding)
        cast = _cast(people)
        findings += play(Trial(contract, cast, run, asked.timeout_s))
    except _Over:
        findings.append(Finding("the rest", "unknown", "not tried: no user came in"))
    except (ContractError, Refused) as error:
        return Checked(name, asked.host, findings, str(error).replace(" -H ", " --host "))
    finally:
        for person in people:
            person.close()
    return Checked(name, asked.host, findings)


def _may_load(place: Place, contract: Contract, asked: Asked) -> None:
    if is_loopback(place):
        return
    if not asked.allow_remote:
        raise Refused(
            f"{place.base}: not this machine; if you mean to send messages to it, say so: --allow-remote"
        )
    if contract.signs and asked.token_secret == DEVELOPMENT_SECRET:
        raise Refused(
            f"{place.base}: not this machine, and the development secret would sign the tokens; "
            "name the server's own with --token-secret"
        )


def _reach(place: Place, timeout_s: float) -> None:
    """Is anybody there at all? Not asked over HTTP: a server of sockets need not answer that. Raises Refused."""
    try:
        with gsocket.socket(place.family, gsocket.SOCK_STREAM) as probe:
            probe.settimeout(timeout_s)
            probe.connect(place.address)
    except OSError as error:
        why = error.strerror or str(error)
        raise Refused(f"{place.base}: no server there ({why}); name yours with --host URL") from None


def _health(place: Place, contract: Contract, timeout_s: float) -> Iterator[Finding]:
    """Is it the server that the file describes?"""
    health = contract.connect.health
    if health is None:
        return
    change = "connect.health: the path, status and json of a healthy server"
    try:
        response = fetch(place, health.path, timeout_s)
    except ConnectFailed as error:
        yield Finding("connect.health", "unmatched", f"GET {health.path}: {_plain(error)}", change)
        return
    said = f"GET {health.path} answered HTTP {response.status} {shown_body(response)}"
    fits = health.ok(response.status, parsed(response.body))
    yield Finding("connect.health", "matched" if fits else "unmatched", said, "" if fits else change)


# -- coming in -------------------------------------------------------------------------------------------


def _enter(
    contract: Contract, place: Place, asked: Asked, run: str, people: list[Person]
) -> Iterator[Finding]:
    """Everybody comes in, one after the other: what the first one meets, and of the others what does not fit."""

    def connect(person: Person, listeners: Listeners, auth: Any) -> Connection:
        way = approach(contract, person.identity, place, "library")
        headers = person.cookies.beside(way.headers)
        return NativeConnection(
            place,
            way.path,
            auth,
            headers,
            False,
            listeners,
            namespace=way.namespace,
            query=way.query,
        )

    wanted = [(f"user {number}", f"{run}-room", "user") for number in range(1, _MEMBERS + 1)]
    if contract.has_rooms:
        wanted.append((STRANGER, f"{run}-elsewhere", "user"))
    if contract.chats is not None:
        wanted.append((OPERATOR, f"{run}-desk", "operator"))
    for number, (who, room, role) in enumerate(wanted, 1):
        person = Person(contract, place, connect, f"{run}-{number}", who, room, role)
        person.sign(asked.token_secret)
        people.append(person)
        for finding in _come_in(person, asked.timeout_s):
            if number == 1 or finding.state == "unmatched":
                yield (
                    finding
                    if number == 1
                    else msgspec.structs.replace(finding, said=f"{who}: {finding.said}")
                )


def _cast(people: list[Person]) -> Cast:
    by_who = {person.who: person for person in people}
    return Cast(people[:_MEMBERS], by_who.get(STRANGER), by_who.get(OPERATOR))


def _come_in(person: Person, timeout_s: float) -> Iterator[Finding]:
    contract = person.contract
    if contract.login:
        try:
            person.log_in(timeout_s)
        except ConnectFailed as error:
            yield Finding(
                "login", "unmatched", error.detail, "login: path, json or form, ok, and what is captured"
            )
            raise _Over from None
        gave = {name: person.identity.get(name) for name in sorted(captured(contract.login))}
        yield Finding("login", "matched", f"logged in, and got {shown(gave)}")
    try:
        person.open(timeout_s)
    except ConnectFailed as error:
        yield _shut_out(person, error)
        raise _Over from None
    namespace = contract.connect.namespace(person.identity)
    yield Finding(
        "connect",
        "matched",
        f"connected to {person.place.base}{contract.connect.path}, namespace {namespace}",
    )
    if contract.authenticate is not None:
        yield _authenticated(person)
    if contract.join is not None:
        yield from _joined(person, timeout_s)


def _shut_out(person: Person, error: ConnectFailed) -> Finding:
    """Why a user could not connect, or was not let in."""
    contract, heard = person.contract, person.heard[-3:]
    said_so = [f'"{one.name}" {shown(one.args)}' for one in heard]
    came = f"; it said {', '.join(said_so)}" if said_so else ""
    if person.phases:  # connected, so it is what was said afterwards
        rule = contract.authenticate
        change = "authenticate: emit and args"
        if rule is not None and rule.wait is not None and error.cause is Cause.CONNECT_TIMEOUT:
            change = (
                f'authenticate: wait = "{heard[-1].name}"' if heard else "authenticate: wait, or leave it out"
            )
        elif error.cause is Cause.CONNECT_TIMEOUT:
            change = (
                "authenticate: leave ack out if the server acknowledges nothing, or correct emit and args"
            )
        return Finding("authenticate", "unmatched", f"{_plain(error)}{came}", change)
    where = f"{person.place.base}{contract.connect.path}"
    if error.cause is Cause.CONNECT_ERROR:
        said = f"{where}: the server refused CONNECT: {error.detail}"
        return Finding("connect", "unmatched", said, "connect: auth, namespace, query and headers")
    if error.cause in (Cause.HANDSHAKE_REFUSED, Cause.PARSE_ERROR):
        said = f"{where}: no Socket.IO there: {error.detail}"
        return Finding("connect", "unmatched", said, "connect: path, query and headers")
    return Finding(
        "connect", "unmatched", f"{where}: {_plain(error)}{came}", "connect: path, namespace and auth"
    )


def _plain(error: ConnectFailed) -> str:
    return error.detail or str(error.cause)


def _authenticated(person: Person) -> Finding:
    rule = person.contract.authenticate
    assert rule is not None
    lacking = sorted((captured(rule) & person.contract.remembered) - person.captured.keys())
    waited = [one for one in person.heard if one.name == rule.wait]
    said = f'said "{rule.emit}"' if rule.emit is not None else f'waited for "{rule.wait}"'
    if waited:
        said += f', and "{rule.wait}" came: {shown(waited[0].args)}'
    if lacking:
        said += f"; nothing was there to capture for {', '.join(lacking)}"
        return Finding("authenticate", "unmatched", said, "authenticate: the paths in capture")
    return Finding("authenticate", "matched", said)


def _joined(person: Person, timeout_s: float) -> Iterator[Finding]:
    join = person.contract.join
    assert join is not None
    mark = len(person.heard)
    fate = person.do(join, timeout_s, room=person.room, since_seq=None)
    trial = Trial(person.contract, Cast([person], None, None), "", timeout_s)
    yield trial.answer("join", join, person, fate, mark)


def main() -> None:
    """Read what is asked, print what was found."""
    checked = check(msgspec.json.decode(sys.stdin.buffer.read(), type=Asked))
    sys.stdout.buffer.write(msgspec.json.encode(checked) + b"\n")


if __name__ == "__main__":
    main()
