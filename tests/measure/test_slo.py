"""Are SLOs read from wherever people write them, and is all that is wrong with them said at once, and where?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.operations import Operation
from loadtest.measure.slo import Slo, SloError, parse_file, parse_table, to_toml, understand
from loadtest.measure.threshold import COUNTS, parse_selector, parse_threshold

DELIVER = "message.deliver{transport:websocket}"


def nowhere(name: str) -> str:
    """No word of an expression is a file."""
    raise AssertionError(f"{name} was taken for a file")


def faults_of(read: Callable[[], object]) -> list[str]:
    with pytest.raises(SloError) as caught:
        read()
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def of_words(*words: str) -> list[Slo]:
    return understand(words, nowhere)


def of_file(*lines: str) -> list[Slo]:
    return parse_file("\n".join(("[slo]", *lines)), "mine.toml")


# -- expressions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "selector", "threshold"),
    [
        (f"{DELIVER}: p(95)<100", DELIVER, "p(95)<100"),
        ("message.deliver:lost==0", "message.deliver", "lost==0"),
        (
            "  message.deliver { phase:drain , transport:websocket } :  avg  <=  5 ",
            "message.deliver{phase:drain,transport:websocket}",
            "avg <= 5",
        ),
        ("message.deliver{}: med<1", "message.deliver", "med<1"),
    ],
)
def test_an_expression(text: str, selector: str, threshold: str) -> None:
    (slo,) = of_words(text)
    assert slo == Slo(selector, threshold, abort_on_fail=False, delay_abort_s=0.0)
    assert slo.name == f"{selector}: {threshold}"
    assert slo.parsed() == (parse_selector(selector), parse_threshold(threshold))
    assert of_words(slo.name) == [slo], "its name is an expression for it"


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("message.deliver p(95)<100", "$", 'expected ": " and a threshold'),
        ("p(95)<100", "$", 'expected ": " and a threshold'),
        (
            "message.delivered: p(95)<100",
            "message.delivered:",
            "no such operation; there are session.connect,",
        ),
        (": p(95)<100", ":", "expected an operation"),
        (
            "message.deliver{room:x}: p(95)<100",
            "room:",
            "expected label:value, with a label of transport, phase",
        ),
        ('message.deliver{transport:"x"}: p(95)<1', "transport:", "expected label:value"),
        ("message.deliver{phase:mesure}: p(95)<1", "phase:", "no such phase; there are connect, warmup"),
        ("message.deliver: p95<100", "p95", "expected p(N) or one of med avg"),
        ("message.deliver: p(100)<100", "100)", "a percentile lies between 0 and 100"),
        ("message.deliver: p(95)=100", "=100", "expected one of <= >= == != < > here"),
        ("message.deliver: p(95)<fast", "fast", "expected a number here (times are milliseconds)"),
        ("message.deliver: p(95)<100ms", "ms", "nothing may follow the number"),
        ("message.deliver:\tp(95)<\t100ms", "ms", "nothing may follow the number"),
    ],
)
def test_a_wrong_expression_is_shown_whole_with_a_caret_at_the_place(
    text: str, place: str, reason: str
) -> None:
    (fault,) = faults_of(lambda: of_words(text))
    said, shown, caret = fault.split("\n")
    assert said.startswith(reason)
    assert shown == f"  {text.expandtabs(1)}"
    at = len(text) if place == "$" else text.index(place)
    assert caret == " " * (2 + at) + "^"


def test_every_fault_is_said_at_once() -> None:
    words = ("message.deliver: p95<1", "good.toml", "message.echo: lost==0", "nope: lost==0", "bad.toml")
    files = {
        "good.toml": '[slo]\n"call.ring" = "count>0"',
        "bad.toml": '[slo]\n"call.ring" = "count"\nx = "count>0"',
    }
    faults = faults_of(lambda: understand(words, files.__getitem__))
    heads = [fault.splitlines()[0][:31] for fault in faults]
    assert heads == [
        "expected p(N) or one of med avg",
        "no such operation; there are se",
        'bad.toml: [slo] "call.ring": ex',
        'bad.toml: [slo] "x": no such op',
    ]


def test_the_same_twice_counts_once_and_the_order_stays() -> None:
    words = ("message.echo: lost==0", "mine.toml", "message.echo:lost==0", "call.ring: count>0")
    found = understand(words, lambda _: '[slo]\n"message.echo" = ["lost==0", "late==0", "lost==0"]')
    assert [slo.name for slo in found] == [
        "message.echo: lost==0",
        "message.echo: late==0",
        "call.ring: count>0",
    ]


@pytest.mark.parametrize("first", [True, False])
def test_of_the_same_twice_the_one_that_may_end_the_run_is_kept(first: bool) -> None:
    text = '[slo]\n"message.echo" = [{threshold = "lost==0", abort_on_fail = true, delay_abort_eval = "9s"}]'
    sooner = text.replace("9s", "2s")
    words = ["message.echo: lost==0", "late.toml", "soon.toml"]
    found = understand(words if first else words[::-1], lambda name: text if name == "late.toml" else sooner)
    assert [(slo.abort_on_fail, slo.delay_abort_s) for slo in found] == [(True, 2.0)]


def test_nothing_asked_is_nothing() -> None:
    assert understand([], nowhere) == []


# -- files ---------------------------------------------------------------------------------------------------


def test_a_file_says_when_a_run_may_be_ended() -> None:
    found = of_file(
        f'"{DELIVER}" = [',
        '  "p(95)<100",',
        '  {threshold = "p(99)<250", abort_on_fail = true, delay_abort_eval = "10s"},',
        "]",
        '"message.echo" = {threshold = "lost==0", abortOnFail = true, delayAbortEval = "1m30s"}',
        '"call.ring" = "count>0"',
    )
    assert found == [
        Slo(DELIVER, "p(95)<100"),
        Slo(DELIVER, "p(99)<250", abort_on_fail=True, delay_abort_s=10.0),
        Slo("message.echo", "lost==0", abort_on_fail=True, delay_abort_s=90.0),
        Slo("call.ring", "count>0"),
    ]


@pytest.mark.parametrize(
    ("written", "seconds"), [('"500ms"', 0.5), ("10", 10.0), ("0.25", 0.25), ('"0s"', 0.0)]
)
def test_a_delay(written: str, seconds: float) -> None:
    (slo,) = of_file(f'"message.echo" = {{threshold = "lost==0", delay_abort_eval = {written}}}')
    assert slo.delay_abort_s == seconds


def test_what_has_the_ending_of_a_file_is_one() -> None:
    asked: list[str] = []

    def read(name: str) -> str:
        asked.append(name)
        return '[slo]\n"message.echo" = "lost==0"'

    assert [slo.name for slo in understand(["a b/slo.toml"], read)] == ["message.echo: lost==0"]
    assert asked == ["a b/slo.toml"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('"message.echo" = []', '[slo] "message.echo": no threshold there; write ["p(95)<100"]'),
        ('"message.echo" = 5', '[slo] "message.echo": 5 is no threshold; write "p(95)<100" or {threshold = '),
        ('"message.echo" = [["lost==0"]]', "[slo] \"message.echo\": ['lost==0'] is no threshold; "),
        ('"message.echo" = {}', '[slo] "message.echo": threshold must be words, such as "p(95)<100"'),
        ('"message.echo" = {threshold = 5}', '[slo] "message.echo": threshold must be words, '),
        (
            '"message.echo" = {threshold = "lost==0", abort = true}',
            '[slo] "message.echo": unknown key abort; there are threshold, abort_on_fail, delay_abort_eval',
        ),
        (
            '"message.echo" = {threshold = "lost==0", abort_on_fail = true, abortOnFail = false}',
            '[slo] "message.echo": abort_on_fail stands here twice',
        ),
        (
            '"message.echo" = {threshold = "lost==0", abort_on_fail = "yes"}',
            '[slo] "message.echo": abort_on_fail is true or false',
        ),
        (
            '"message.echo" = {threshold = "lost==0", delay_abort_eval = "soon"}',
            "[slo] \"message.echo\": delay_abort_eval: 'soon' is no duration: write 30s, 1m30s or 500ms",
        ),
        (
            '"message.echo" = {threshold = "lost==0", delay_abort_eval = -1}',
            "[slo] \"message.echo\": delay_abort_eval: '-1' is no duration: it must be finite and not negative",
        ),
        (
            "message.echo = 'lost==0'",  # without quotes TOML makes a table of it
            '[slo] "message": unknown key echo; there are threshold, abort_on_fail, delay_abort_eval',
        ),
    ],
)
def test_a_wrong_entry_is_named(line: str, fault: str) -> None:
    (said,) = faults_of(lambda: of_file(line))
    assert said.startswith(f"mine.toml: {fault}")
    assert "\n" not in said


def test_a_wrong_threshold_of_a_file_has_its_caret() -> None:
    (said,) = faults_of(lambda: of_file(f'"{DELIVER}" = ["p(99)<1", "p(95)<100ms"]'))
    assert said.split("\n") == [
        f'mine.toml: [slo] "{DELIVER}": nothing may follow the number; times are milliseconds, without a unit',
        "  p(95)<100ms",
        "           ^",
    ]


def test_a_wrong_selector_of_a_file_has_its_caret() -> None:
    (said,) = faults_of(lambda: of_file('"message.deliver{room:x}" = "p(99)<1"'))
    assert said.split("\n")[1:] == ["  message.deliver{room:x}", "                  ^"]


def test_a_threshold_over_several_lines_is_shown_in_one() -> None:
    (said,) = faults_of(lambda: of_file('"message.echo" = """p(95)', '<100ms"""'))
    assert said.split("\n")[1:] == ["  p(95) <100ms", "            ^"]


def test_every_fault_of_a_file_is_said_at_once() -> None:
    faults = faults_of(
        lambda: of_file('"a" = "lost==0"', '"message.echo" = ["lost==0", "lost", 7]', '"call.ring" = []')
    )
    assert [fault.partition(":")[0] for fault in faults] == ["mine.toml"] * 4
    assert [
        '"a"' in faults[0],
        "expected one of" in faults[1],
        "7 is no" in faults[2],
        "ring" in faults[3],
    ] == [True] * 4


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ['mine.toml: [slo]: no SLOs there; write "message.deliver" = ["p(95)<100"]']),
        ("[slo]", ['mine.toml: [slo]: no SLOs there; write "message.deliver" = ["p(95)<100"]']),
        ("slo = 3", ['mine.toml: [slo]: no SLOs there; write "message.deliver" = ["p(95)<100"]']),
        (
            '[slos]\n"message.echo" = "lost==0"\n[other]',
            [f"mine.toml: unknown table [{name}]; SLOs stand in [slo]" for name in ("slos", "other")],
        ),
    ],
)
def test_a_file_without_slos_asks_for_them(text: str, faults: list[str]) -> None:
    assert faults_of(lambda: parse_file(text, "mine.toml")) == faults


def test_what_is_not_toml_is_said_with_its_line() -> None:
    (fault,) = faults_of(lambda: parse_file('[slo]\n"message.echo" = [', "mine.toml"))
    assert fault.startswith("mine.toml: not TOML: ")
    assert "line 2" in fault or "end of document" in fault


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"[slo]\n\xff\xfe")
    (tmp_path / "folder.toml").mkdir()
    names = [str(tmp_path / name) for name in ("binary.toml", "folder.toml", "missing.toml", "nul\0.toml")]
    faults = faults_of(lambda: understand(names, lambda name: Path(name).read_text("utf-8")))
    assert faults == [
        f"{names[0]}: not a text in UTF-8",
        f"{names[1]}: cannot be read (Is a directory)",
        f"{names[2]}: cannot be read (No such file or directory)",
        f"{names[3]!r}: cannot be read (embedded null byte)",
    ]


def test_a_table_may_stand_in_another_file() -> None:
    where = "plan.toml: [trials.slo]"
    assert [slo.name for slo in parse_table({"message.echo": "lost==0"}, where)] == ["message.echo: lost==0"]
    assert faults_of(lambda: parse_table(None, where))[0].startswith(f"{where}: no SLOs there")


# -- there and back ------------------------------------------------------------------------------------------

LABELS = st.fixed_dictionaries(
    {},
    optional={
        "transport": st.sampled_from(["websocket", "interval-polling", "upgrade"]),
        "phase": st.sampled_from(["connect", "measure", "drain"]),
    },
)
SELECTORS = st.builds(
    lambda operation, labels: (
        f"{operation}{{{','.join(f'{name}:{value}' for name, value in labels.items())}}}"
    ),
    st.sampled_from([one.value for one in Operation]),
    LABELS,
)
AGGREGATES = st.sampled_from(
    ["med", "avg", "min", "max", "count", "rate", *COUNTS, "p(95)", "p(99.9)", "p( 5 )"]
)
SPACES = st.sampled_from(["", " ", "\t", "\n "])
EXPRESSIONS = st.builds(
    lambda selector, aggregate, compare, limit, a, b: f"{selector}:{a}{aggregate}{b}{compare}{a}{limit!r}{b}",
    SELECTORS, AGGREGATES, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.floats(allow_nan=False, allow_infinity=False), SPACES, SPACES,
)  # fmt: skip
ASKED = st.lists(st.tuples(EXPRESSIONS, st.booleans(), st.integers(0, 10**12)), min_size=1, max_size=6)


def grouped(slos: Iterable[Slo]) -> list[Slo]:
    """In the order of a file: by selector, as each first stood."""
    found = list(slos)
    order = list(dict.fromkeys(slo.selector for slo in found))
    return sorted(found, key=lambda slo: order.index(slo.selector))


@given(ASKED)
def test_a_file_of_slos_is_read_back_as_they_were(asked: list[tuple[str, bool, int]]) -> None:
    slos = [
        Slo(read.selector, read.threshold, abort, delay_us / 1e6)
        for text, abort, delay_us in asked
        for read in of_words(text)
    ]
    assert parse_file(to_toml(slos), "mine.toml") == grouped(slos)
