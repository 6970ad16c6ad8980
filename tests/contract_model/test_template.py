"""Does a template say exactly what its author wrote, with the variables where they belong?"""

import copy
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.contract import Template
from loadtest.contract.template import TextTemplate, problems

VARIABLES: dict[str, object] = {
    "user": "u1",
    "seq": 7,
    "flag": True,
    "half": 0.5,
    "none": None,
    "table": {"a": [1]},
    "tricky": "${user} $${",
}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PIECES = st.sampled_from(["${user}", "${seq}", "${none}", "$${", "$", "{", "}", "text", "é", ""])
TEXTS = st.lists(PIECES, max_size=5).map("".join).filter(lambda text: not list(problems(text)))
TEMPLATES = st.recursive(
    st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("source", "rendered"),
    [
        ("plain", "plain"),
        ("", ""),
        (5, 5),
        (True, True),
        ([], []),
        ({}, {}),
        ("${user}", "u1"),
        ("${seq}", 7),
        ("${flag}", True),
        ("${table}", {"a": [1]}),
        ("${none}", None),
        ("conversation:${user}", "conversation:u1"),
        ("${user}${user}", "u1u1"),
        ("${user}-${seq}-${flag}-${half}", "u1-7-true-0.5"),
        ("<${none}>", "<>"),
        ("=${table}", '={"a":[1]}'),
        ("$${user}", "${user}"),
        ("$${${user}}", "${u1}"),
        ("cost $5 {user}", "cost $5 {user}"),
        ("x${tricky}", "x${user} $${"),
        (["a", "${seq}", ["${user}"]], ["a", 7, ["u1"]]),
        ({"a": {"b": "${user}"}, "c": 1}, {"a": {"b": "u1"}, "c": 1}),
        # A null variable: left out of a table, kept in a list where places count, empty in text.
        ({"a": "${none}", "b": 1}, {"b": 1}),
        (["${none}", 1], [None, 1]),
        ({"a": "x${none}", "b": ["${none}"]}, {"a": "x", "b": [None]}),
    ],
)
def test_renders(source: object, rendered: object) -> None:
    assert Template.parse(source).render(VARIABLES) == rendered


def test_keys_keep_their_order() -> None:
    rendered = Template.parse({"z": 1, "a": "${user}", "m": {"y": 2, "b": 3}}).render(VARIABLES)
    assert msgspec.json.encode(rendered) == b'{"z":1,"a":"u1","m":{"y":2,"b":3}}'


def test_names_its_variables() -> None:
    assert Template.parse([{"a": "${user}", "b": "x${seq}$${none}"}]).variables == {"user", "seq"}


@pytest.mark.parametrize("source", ["${nope}", {"a": "${nope}"}, ["x${nope}"]])
def test_a_variable_that_is_not_given_is_an_error_of_the_caller(source: object) -> None:
    with pytest.raises(KeyError, match="nope"):
        Template.parse(source).render(VARIABLES)


@pytest.mark.parametrize(
    ("source", "place", "reason"),
    [
        ("${usr}", "", r"unknown variable \$\{usr\}, known: seq, user"),
        ({"a": ["x", "${usr}"]}, "a[1]", "unknown variable"),
        ({"a b": "${"}, '"a b"', r"not a variable in '\$\{'"),
        ("${User}", "", "not a variable"),
        ("${user", "", "not a variable"),
        ("${}", "", "not a variable"),
        ("${ user }", "", "not a variable"),
        ({"${user}": 1}, '"${user}"', "variables are for values"),
        ([float("nan")], "[0]", "no infinity and no NaN"),
        ([2**64], "[0]", "beyond 64 bits"),
        ([-(2**63) - 1], "[0]", "beyond 64 bits"),
        ([object()], "[0]", "no date or time"),
    ],
)
def test_finds_problems(source: object, place: str, reason: str) -> None:
    ((at, found),) = problems(source, {"user", "seq"})
    assert at == place
    assert re.search(reason, found)


def test_parse_names_every_problem() -> None:
    with pytest.raises(ValueError, match=r"a: not a variable.*; b\[0\]: JSON has no infinity"):
        Template.parse({"a": "${", "b": [float("inf")]})


@given(JSON)
def test_any_json_value_survives_an_exact_substitution(value: object) -> None:
    template = Template.parse(["${value}", {"deep": ["${value}"]}, {"key": "${value}"}])
    rendered = template.render({"value": value})
    assert isinstance(rendered, list)
    assert rendered == [value, {"deep": [value]}, {} if value is None else {"key": value}]
    assert type(rendered[0]) is type(value)


@given(JSON.map(lambda value: msgspec.json.encode(value).decode().replace("${", "$${")))
def test_any_text_survives_as_a_literal(text: str) -> None:
    assert TextTemplate.parse(text).render({}) == text.replace("$${", "${")


@given(TEMPLATES)
def test_rendering_leaves_template_and_earlier_renderings_alone(source: object) -> None:
    template, before = Template.parse(source), copy.deepcopy(source)
    first = template.render(VARIABLES)
    kept = copy.deepcopy(first)
    _ruin(first)
    assert template.render(VARIABLES) == kept
    assert source == before


def _ruin(value: object) -> None:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _ruin(inner)
    if isinstance(value, (dict, list)):
        value.clear()


@pytest.mark.parametrize(
    ("source", "value", "rendered"),
    [
        ("/rooms/${room}/x?y=1", "a/b?c=d&e #%é", "/rooms/a%2Fb%3Fc%3Dd%26e%20%23%25%C3%A9/x?y=1"),
        ("/x?since=${room}", None, "/x?since="),
        ("/x?since=${room}", 12, "/x?since=12"),
        ("/plain%20path", "", "/plain%20path"),
        ("/x?ids=${room}", ["a", 7, "b,c&d", None], "/x?ids=a,7,b%2Cc%26d,"),
        ("/x?ids=${room}", [], "/x?ids="),
    ],
)
def test_no_value_changes_the_structure_of_a_path(source: str, value: object, rendered: str) -> None:
    assert TextTemplate.parse(source, url=True).render({"room": value}) == rendered
