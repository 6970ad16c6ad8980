"""What was a run asked to keep?

An SLO is a selector and a threshold (loadtest.measure.threshold). People write it in one of two ways:

    --rt-slo 'message.deliver{transport:websocket}: p(95)<100'

    [slo]                                                    # a file whose name ends in .toml
    "message.deliver{transport:websocket}" = [
      "p(95)<100",
      {threshold = "p(99)<250", abort_on_fail = true, delay_abort_eval = "10s"},
    ]

k6 writes ``abortOnFail`` and ``delayAbortEval``; both spellings are taken. Pure: whoever calls gives the text of
a file, so that a running Locust and a command that judges old runs read the same way.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from loadtest.measure.threshold import (
    Selector,
    Threshold,
    ThresholdError,
    parse_selector,
    parse_slo,
    parse_threshold,
)
from loadtest.measure.units import SECOND, parse_duration

SUFFIX = ".toml"
_KEYS = {
    "threshold": "threshold",
    "abort_on_fail": "abort_on_fail",
    "abortOnFail": "abort_on_fail",
    "delay_abort_eval": "delay_abort_eval",
    "delayAbortEval": "delay_abort_eval",
}


class SloError(ValueError):
    """SLOs that cannot be read; ``faults`` has a text for each, a wrong threshold with a caret at its place."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Slo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One SLO as it stands in a manifest. delay_abort_s: seconds into measure before it may end a run."""

    selector: str
    threshold: str
    abort_on_fail: bool = False
    delay_abort_s: float = 0.0

    @property
    def name(self) -> str:
        """As one would write it on a command line."""
        return f"{self.selector}: {self.threshold}"

    def parsed(self) -> tuple[Selector, Threshold]:
        """Both halves, understood. Raises ThresholdError for one that was not made by this module."""
        return parse_selector(self.selector), parse_threshold(self.threshold)


def understand(words: Iterable[str], read_text: Callable[[str], str]) -> list[Slo]:
    """The SLOs that these words mean; what ends in ``.toml`` is a file, which ``read_text`` gives the text of.

    The same SLO twice counts once; if one of them may end a run, that is the one, as early as any of them may.
    Raises SloError with every fault at once.
    """
    found: list[Slo] = []
    faults: list[str] = []
    for word in words:
        try:
            found += _of_file(word, read_text) if word.endswith(SUFFIX) else [_of_expression(word)]
        except SloError as error:
            faults += error.faults
    if faults:
        raise SloError(faults)
    kept: dict[str, Slo] = {}
    for slo in found:
        kept[slo.name] = _stricter(kept.get(slo.name, slo), slo)
    return list(kept.values())


def _stricter(one: Slo, other: Slo) -> Slo:
    """Of two that ask the same: two verdicts of one name would be two test cases of one name."""
    if one.abort_on_fail and other.abort_on_fail:
        return min(one, other, key=lambda slo: slo.delay_abort_s)
    return other if other.abort_on_fail else one


def _of_expression(text: str) -> Slo:
    try:
        selector, threshold = parse_slo(text)
    except ThresholdError as error:
        raise SloError([str(error)]) from None
    return Slo(str(selector), threshold.text)


def _of_file(name: str, read_text: Callable[[str], str]) -> list[Slo]:
    try:
        text = read_text(name)
    except OSError as error:
        raise SloError([f"{name}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError:
        raise SloError([f"{name}: not a text in UTF-8"]) from None
    except ValueError as error:  # a name that no file can have, from a field of a form
        raise SloError([f"{name!r}: cannot be read ({error})"]) from None
    return parse_file(text, name)


def parse_file(text: str, name: str) -> list[Slo]:
    """The SLOs of a TOML file; ``name`` is what faults call it. Raises SloError with every fault at once."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SloError([f"{name}: not TOML: {error}"]) from None
    table = content.pop("slo", None)
    if content:
        raise SloError([f"{name}: unknown table [{key}]; SLOs stand in [slo]" for key in content])
    return parse_table(table, f"{name}: [slo]")


def parse_table(table: Any, where: str) -> list[Slo]:
    """The SLOs of a TOML table, selectors as its keys; ``where`` is what faults call it. Raises SloError."""
    if not isinstance(table, dict) or not table:
        raise SloError([f'{where}: no SLOs there; write "message.deliver" = ["p(95)<100"]'])
    found: list[Slo] = []
    faults: list[str] = []
    for key, value in table.items():
        named = f'{where} "{key}"'
        entries = value if isinstance(value, list) else [value]
        if not entries:
            faults.append(f'{named}: no threshold there; write ["p(95)<100"]')
        for one in entries:
            try:
                found.append(_entry(named, key, one))
            except SloError as error:
                faults += error.faults
    if faults:
        raise SloError(faults)
    return found


def to_toml(slos: Iterable[Slo]) -> str:
    """A file that ``parse_file`` reads back as these."""
    of_each: dict[str, list[str]] = {}
    for slo in slos:
        told = [f'threshold = "{slo.threshold}"']
        if slo.abort_on_fail:
            told.append("abort_on_fail = true")
        if slo.delay_abort_s:
            seconds = f"{slo.delay_abort_s:.9f}".rstrip("0").rstrip(".")
            told.append(f'delay_abort_eval = "{seconds}s"')
        of_each.setdefault(slo.selector, []).append(f"{{{', '.join(told)}}}")
    lines = [f'"{selector}" = [{", ".join(thresholds)}]' for selector, thresholds in of_each.items()]
    return "\n".join(["[slo]", *lines, ""])


def _entry(where: str, key: str, value: Any) -> Slo:
    """One threshold: words, or a table with them."""
    table = {"threshold": value} if isinstance(value, str) else value
    if not isinstance(table, dict):
        raise SloError(
            [f'{where}: {value!r} is no threshold; write "p(95)<100" or {{threshold = "p(95)<100"}}']
        )
    told: dict[str, Any] = {}
    for word, one in table.items():
        if word not in _KEYS:
            known = "threshold, abort_on_fail, delay_abort_eval"
            raise SloError([f"{where}: unknown key {word}; there are {known}"])
        if _KEYS[word] in told:
            raise SloError([f"{where}: {_KEYS[word]} stands here twice"])
        told[_KEYS[word]] = one
    if not isinstance(told.get("threshold"), str):
        raise SloError([f'{where}: threshold must be words, such as "p(95)<100"'])
    if not isinstance(told.setdefault("abort_on_fail", False), bool):
        raise SloError([f"{where}: abort_on_fail is true or false"])
    try:
        selector, threshold = parse_selector(key), parse_threshold(told["threshold"])
        delay_ns = parse_duration(str(told.get("delay_abort_eval", "0s")))
    except ThresholdError as error:
        raise SloError([f"{where}: {error}"]) from None
    except ValueError as error:
        raise SloError([f"{where}: delay_abort_eval: {error}"]) from None
    return Slo(str(selector), threshold.text, told["abort_on_fail"], delay_ns / SECOND)
