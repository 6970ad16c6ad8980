"""Does a path find what it names, and nothing else?"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.contract import JsonPath

ARGS = [{"ok": True, "error": {"code": "E1"}, "list": [10, [20]], "a b": {"é.[": 1}, "null": None}, "second"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", ARGS),
        ("$[0].ok", True),
        ("$[0].error.code", "E1"),
        ("$[0].list[1][0]", 20),
        ('$[0]["a b"]["é.["]', 1),
        ("$[1]", "second"),
        ("$[0].null", None),
        # absent, or of another kind on the way: never an error
        ("$[2]", None),
        ("$[0].nope.deeper", None),
        ("$[0].null.deeper", None),
        ("$.ok", None),
        ("$[0][0]", None),
        ("$[1][0]", None),
        ("$[1].length", None),
        ("$[0].ok[0]", None),
        ("$[0].list.length", None),
    ],
)
def test_reads(path: str, value: object) -> None:
    assert JsonPath.parse(path).read(ARGS) == value
    assert JsonPath.parse(path).read(tuple(ARGS)) == (tuple(ARGS) if path == "$" else value)


@pytest.mark.parametrize(
    "path",
    ["", "ok", "[0].ok", "$ok", "$.", "$..ok", "$[", "$[]", "$[-1]", "$[x]", "$[0", "$[0]ok", "$[0]. ok",
     '$[""]', "$.0", "$[*]", "$['ok']", "$[0].ok ", "$[0].é", "$[12345678901]"],
)  # fmt: skip
def test_refuses(path: str) -> None:
    with pytest.raises(ValueError, match=r'not a path, expected something like "\$\[0\]\.ok"'):
        JsonPath.parse(path)


def test_says_where_a_path_goes_wrong() -> None:
    with pytest.raises(ValueError, match=r"stuck at '\.\.code'"):
        JsonPath.parse("$[0].error..code")


def test_paths_are_values() -> None:
    assert JsonPath.parse("$[0].ok") == JsonPath.parse("$[0].ok")
    assert len({JsonPath.parse("$[0].ok"), JsonPath.parse("$[0].ok"), JsonPath.parse("$[1]")}) == 2
    with pytest.raises(AttributeError):
        JsonPath.parse("$").source = "$[0]"  # type: ignore[misc]


KEYS = st.text(st.characters(blacklist_characters='"', blacklist_categories=["Cs"]), min_size=1)
STEPS = st.one_of(st.integers(0, 9), KEYS)


def _spell(step: int | str) -> str:
    return f"[{step}]" if isinstance(step, int) else f'["{step}"]'


@given(st.lists(STEPS, max_size=6), st.integers())
def test_any_place_can_be_named(steps: list[int | str], value: int) -> None:
    root: object = value
    for step in reversed(steps):
        root = [None] * step + [root] if isinstance(step, int) else {step: root}
    assert JsonPath.parse("$" + "".join(map(_spell, steps))).read(root) == value


@given(
    st.lists(STEPS, max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_never_raises_on_odd_data(steps: list[int | str], root: object) -> None:
    read: Callable[[object], object | None] = JsonPath.parse("$" + "".join(map(_spell, steps))).read
    expected: object = root
    for step in steps:
        fits = isinstance(expected, dict) if isinstance(step, str) else isinstance(expected, list)
        try:
            expected = expected[step] if fits else None  # type: ignore[index]
        except (KeyError, IndexError):
            expected = None
    assert read(root) == expected
