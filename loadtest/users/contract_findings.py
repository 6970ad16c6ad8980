"""Does what users heard fit the contract, and if not: what came instead, and which line would fit?

Pure comparing: what was heard comes in, findings in plain words go out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from loadtest.contract import Delivery, JsonPath
from loadtest.contract.template import as_text

SENDER = "the sender"
STRANGER = "a user in another room"
OPERATOR = "the operator"
_SHOWN = 160
State = Literal["matched", "unmatched", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. place: the part of the file; change: what to write there, or to look into."""

    place: str
    state: State
    said: str
    change: str = ""


class Heard(NamedTuple):
    """One event as it was received."""

    name: str
    args: list[Any]


class Ear(NamedTuple):
    """What somebody heard since something was done. who: for the report; must: whether it had to hear of it.

    may: whether a copy would be right, too.
    """

    who: str
    heard: Sequence[Heard]
    must: bool
    may: bool


class Sent(NamedTuple):
    """What was done: the marker and the values that a delivery of it should carry; None: not known."""

    marker: str
    given: str | None = None
    room: str | None = None
    sender: str | None = None
    subject: str | None = None
    status: str | None = None


def shown(args: object) -> str:
    """Arguments as they were received, shortened."""

    text = msgspec.json.encode(_without_bytes(args)).decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _without_bytes(value: object) -> object:
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes: {bytes(value[:40]).decode('utf-8', 'replace')}>"
    if isinstance(value, (list, tuple)):
        return [_without_bytes(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _without_bytes(one) for key, one in value.items()}
    return value


def places(value: object, wanted: str, path: str = "$") -> Iterator[tuple[str, bool]]:
    """Where a text is inside a value: paths of the contract, and whether it is all that is there."""
    if isinstance(value, (bytes, bytearray)):
        if wanted.encode() in value:
            yield path, False
    elif isinstance(value, str):
        if wanted in value:
            yield path, wanted == value
    elif isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from places(one, wanted, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from places(one, wanted, f"{path}{_step(str(key))}")


def _step(key: str) -> str:
    try:
        JsonPath.parse(f"$.{key}")
    except ValueError:
        return f'["{key}"]'
    return f".{key}"


def line_for(args: object, sent: Sent) -> str | None:
    """The line of a [[deliveries]] table by which these arguments would be recognised."""
    found = sorted(places(args, sent.marker), key=lambda one: not one[1])
    if found:
        path, whole = found[0]
        return f'marker = "{path}"' if whole else f'marker_in = "{path}"'
    if sent.given is None:
        return None
    ids = [path for path, whole in places(_texts(args), sent.given) if whole]
    return f'id = "{ids[0]}"' if ids else None


def _texts(value: object) -> object:
    """The same with every number as text, because an id may be one."""
    if isinstance(value, (list, tuple)):
        return [_texts(one) for one in value]
    if isinstance(value, dict):
        return {key: _texts(one) for key, one in value.items()}
    return value if isinstance(value, (bytes, bytearray)) else as_text(value)


def recognises(delivery: Delivery, args: object, sent: Sent) -> bool:
    """Whether a run would take these arguments for what was sent."""
    if delivery.id_at is not None:
        mine = sent.given is not None and delivery.server_id(args) == sent.given
    else:
        mine = delivery.marker(args) == sent.marker
    return mine and (
        sent.status is None or delivery.status_at is None or delivery.status(args) == sent.status
    )


def judge(place: str, delivery: Delivery, sent: Sent, ears: Sequence[Ear]) -> list[Finding]:
    """What became of one thing that was said: one finding if all fits, else one for each thing that does not."""
    copies = {ear.who: [one for one in ear.heard if _is(delivery, one, sent)] for ear in ears}
    owed = [ear for ear in ears if ear.must]
    # Others than the sender first: what they hear is what the file is about.
    deaf = sorted((ear for ear in owed if not copies[ear.who]), key=lambda ear: ear.who == SENDER)
    wrong = [ear for ear in ears if not (ear.must or ear.may) and copies[ear.who]]
    found: list[Finding] = []
    if deaf:
        found.append(_unheard(place, delivery, sent, deaf[0], owed, ears))
    elif owed:
        one = copies[owed[0].who][0]
        found += _odd_paths(place, delivery, sent, one)
    found += [_overheard(place, delivery, ear) for ear in wrong]
    if found or not owed:
        return found
    who = _several([ear.who for ear in owed])
    return [Finding(place, "matched", f'"{delivery.on}" reached {who}: {shown(copies[owed[0].who][0].args)}')]


def _is(delivery: Delivery, heard: Heard, sent: Sent) -> bool:
    return heard.name == delivery.on and recognises(delivery, heard.args, sent)


def _unheard(
    place: str, delivery: Delivery, sent: Sent, deaf: Ear, owed: Sequence[Ear], ears: Sequence[Ear]
) -> Finding:
    """Why did somebody not hear it: another name, other arguments, or nothing at all?"""
    named = [one for one in deaf.heard if one.name == delivery.on]
    for one in named:
        line = line_for(one.args, sent)
        if line is not None:
            return _misread(place, delivery, sent, f'"{one.name}" came to {deaf.who}', one, line)
    for one in deaf.heard:
        line = line_for(one.args, sent)
        if line is not None:
            said = f'no "{delivery.on}" came to {deaf.who}, but "{one.name}" did, with {shown(one.args)}'
            return Finding(place, "unmatched", said, f'{place}: on = "{one.name}", {line}')
    if named:
        said = f'"{delivery.on}" came to {deaf.who}, but not with the marker: {shown(named[0].args)}'
        change = "put ${marker} where the server hands it on, or map its own id: id, here and in the ack"
        return Finding(place, "unmatched", said, f"{place}: {change}")
    return _silence(place, delivery, sent, deaf, owed, ears)


def _misread(place: str, delivery: Delivery, sent: Sent, came: str, one: Heard, line: str) -> Finding:
    """The right event, with other arguments than the file says."""
    if delivery.status_at is not None and recognises(delivery, one.args, sent._replace(status=None)):
        read = f'status = "{delivery.status_at.source}" is {shown(delivery.status(one.args))}'
        said = f'{came} with {shown(one.args)}; {read}, not "{sent.status}"'
        return Finding(place, "unmatched", said, f"{place}: status must find the words of the contract")
    key, path = _key_of(delivery)
    said = f'{came} with {shown(one.args)}; {key} = "{path}" does not find it there'
    return Finding(place, "unmatched", said, f"{place}: {line}")


def _silence(
    place: str, delivery: Delivery, sent: Sent, deaf: Ear, owed: Sequence[Ear], ears: Sequence[Ear]
) -> Finding:
    hearing = [ear.who for ear in ears if any(_is(delivery, one, sent) for one in ear.heard)]
    others = [f'"{one.name}" {shown(one.args)}' for one in deaf.heard[:3]]
    said = f'"{delivery.on}" did not come to {deaf.who}'
    said += f"; it came to {_several(hearing)}" if hearing else "; nobody heard it"
    said += f"; {deaf.who} heard {', '.join(others)}" if others else f"; {deaf.who} heard nothing"
    if hearing and deaf.who == SENDER:
        return Finding(place, "unmatched", said, f'{place}: recipients = "others"')
    if hearing:
        return Finding(place, "unmatched", said, "is everybody in the room? look at [join] and at recipients")
    return Finding(place, "unmatched", said, f"{place}: on must be the event by which the server delivers it")


def _overheard(place: str, delivery: Delivery, ear: Ear) -> Finding:
    """Somebody heard it who should not have."""
    said = f'"{delivery.on}" came to {ear.who} too, though recipients = "{delivery.recipients}"'
    if ear.who == SENDER:
        return Finding(place, "unmatched", said, f'{place}: recipients = "room"')
    if ear.who in (STRANGER, OPERATOR):
        change = "the server keeps no rooms apart as the file says: name ${room} nowhere, or correct [join]"
        return Finding(place, "unmatched", f'"{delivery.on}" came to {ear.who} too', change)
    return Finding(place, "unmatched", said, f'{place}: recipients = "room"')


def _odd_paths(place: str, delivery: Delivery, sent: Sent, heard: Heard) -> Iterator[Finding]:
    """The paths beside the marker that find nothing, or something else than was sent."""
    wanted: dict[str, str | None] = {
        "room": sent.room,
        "sender": sent.sender,
        "subject": sent.subject,
        "seq": None,
        "status": sent.status,
    }
    for key, value in wanted.items():
        path: JsonPath | None = getattr(delivery, f"{key}_at")
        if path is None:
            continue
        read = getattr(delivery, key)(heard.args)
        if read is not None and (value is None or read == value):
            continue
        raw = path.read(heard.args)
        what = "finds nothing that fits" if raw is None else f"is {shown(raw)}"
        wish = f', expected "{value}"' if value is not None and raw is not None else ""
        elsewhere = [one for one, whole in places(heard.args, value) if whole] if value else []
        fitting = f'{key} = "{elsewhere[0]}"' if elsewhere else f"correct {key}, or leave it out"
        said = f'{key} = "{path.source}" {what}{wish} in "{heard.name}" {shown(heard.args)}'
        yield Finding(place, "unmatched", said, f"{place}: {fitting}")


def _key_of(delivery: Delivery) -> tuple[str, str]:
    for key in ("marker", "marker_in", "id"):
        path: JsonPath | None = getattr(delivery, f"{key}_at")
        if path is not None:
            return key, path.source
    return "marker", "nothing"


def _several(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nobody"
