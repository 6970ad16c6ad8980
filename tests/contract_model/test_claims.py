"""A file of claims: what is in the one that comes with the package, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.contract import ContractError
from loadtest.contract.claims import DEFAULT, Keys, Known, load, only, parse

KNOWN = Known(
    {
        "p95_ms": Keys(frozenset({"of"})),
        "ratio_of_means": Keys(frozenset({"of", "against"})),
        "in_band_share": Keys(takes=frozenset({"attempt"})),
    },
    {"messaging": frozenset({"push", "interval-polling"})},
    frozenset({"message.deliver"}),
)
SOUND = """
[[claim]]
name = "fast"
sentence = "It is fast."
restatement = "95 of 100 within 100 ms."
experiment = "messaging"

[[claim.part]]
statistic = "p95_ms"
of = "message.deliver"
arms = ["push"]
compare = "<="
limit = 100
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ContractError) as caught:
        parse(text, KNOWN, "own.toml")
    return caught.value.faults


def test_a_sound_file() -> None:
    (claim,) = parse(SOUND, KNOWN)
    (part,) = claim.part
    assert (claim.name, part.arms, part.limit, part.decides) == ("fast", ("push",), 100, True)


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        (
            "p95_ms",
            "p94_ms",
            "own.toml: claim[0].part[0].statistic: there is no statistic 'p94_ms'; did you mean p95_ms?",
        ),
        (
            '"messaging"',
            '"mesaging"',
            "own.toml: claim[0].experiment: there is no experiment 'mesaging'; did you mean messaging?",
        ),
        (
            '["push"]',
            '["pull"]',
            "own.toml: claim[0].part[0]: there is no arm 'pull' in the experiment messaging; "
            "there are interval-polling, push",
        ),
        (
            '"message.deliver"',
            '"call.ring"',
            "own.toml: claim[0].part[0].of: there is no operation 'call.ring'; there are message.deliver",
        ),
        ("of =", "attempt = 2\nof =", 'own.toml: claim[0].part[0]: p95_ms has no use for the key "attempt"'),
        ('of = "message.deliver"', "", 'own.toml: claim[0].part[0]: p95_ms needs the key "of"'),
        ("limit = 100", 'limit = "100"', "own.toml: claim[0].part[0].limit: expected a number, found text"),
        (
            "limit = 100",
            "limit = true",
            "own.toml: claim[0].part[0].limit: expected a number, found true or false",
        ),
        (
            '"<="',
            '"<"',
            """own.toml: claim[0].part[0].compare: expected one of "<=", ">=", "==", found '<'""",
        ),
        ('["push"]', "[]", "own.toml: claim[0].part[0].arms: expected at least one entry"),
        (
            '"fast"',
            '"so fast"',
            "own.toml: claim[0].name: 'so fast' must be of small letters, digits and hyphens",
        ),
        (
            "limit = 100",
            "limit = 100\ndecides = false",
            "own.toml: claim[0].part: at least one part must decide",
        ),
        ("sentence =", "sentense =", 'own.toml: claim[0].sentense: unknown key, did you mean "sentence"?'),
    ],
)
def test_each_fault_is_one_line(was: str, becomes: str, said: str) -> None:
    assert faults(SOUND.replace(was, becomes)) == [said]


def test_all_faults_are_told_at_once() -> None:
    wrong = SOUND.replace("p95_ms", "p94_ms").replace('["push"]', '["pusch"]')
    assert len(faults(wrong + SOUND.replace('"fast"', '"slow"').replace("messaging", "massaging"))) == 3


def test_two_of_a_name() -> None:
    assert faults(SOUND + SOUND) == ["own.toml: claim: two claims are called fast"]


def test_what_is_no_toml() -> None:
    (line,) = faults("[[claim]\nname = 3")
    assert line.startswith("own.toml: not TOML: ")


def test_a_newer_format() -> None:
    assert faults("format = 9\nclaims = 3") == [
        "own.toml: format: 9 is newer than 1, which this release reads: update realtime-loadtest"
    ]


def test_an_empty_file() -> None:
    assert faults("") == ["own.toml: claim: missing"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"none.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml", KNOWN)


def test_only_some() -> None:
    both = parse(SOUND + SOUND.replace('"fast"', '"again"'), KNOWN)
    assert [one.name for one in only(both, ("again",), "--only")] == ["again"]
    assert only(both, (), "--only") == both
    with pytest.raises(ContractError) as caught:
        only(both, ("fst", "again"), "--only")
    assert str(caught.value) == "--only: there is no claim 'fst'; did you mean fast?"


def test_the_claims_of_the_application_are_all_there() -> None:
    text = DEFAULT.read_text(encoding="utf-8")
    for said in (
        "1.5 s → 100 ms (15x)",
        "3 s → 50 ms (60x)",
        "2 s → 100 ms (20x)",
        "−90 %",
        "~1000 concurrent users on one server",
        "5 attempts after 1, 2, 4, 8, 16 s",
        "Rooms rejoined",
        "State preserved",
        "Zero-downtime fallback to polling",
        "Multi-device sync",
        "100 messages a minute per socket",
    ):
        assert said in text
