"""Does what may be shown of an address keep its place, and nothing that opens it?"""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.measure.addresses import without_credentials


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://host:1/metrics", "http://host:1/metrics"),
        ("http://ann:secret@host:1/metrics", "http://***@host:1/metrics"),
        ("https://token@host", "https://***@host"),
        ("http://a:b@c@host/", "http://***@host/"),
        ("http://host/m?key=secret#lag=x", "http://host/m?***#lag=x"),
        ("--rt-server-metrics=http://ann:secret@host/m", "--rt-server-metrics=http://***@host/m"),
        ("pid:12", "pid:12"),
        ("really?", "really?"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_known_answers(address: str, shown: str) -> None:
    assert without_credentials(address) == shown


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.text(min_size=1, alphabet="xyz"))
def test_no_word_of_a_password_is_left(password: str, user: str) -> None:
    hidden = quote(f"{password}!", safe="")
    shown = without_credentials(f"http://{user}:{hidden}@host:9/metrics?key={hidden}")
    assert shown == "http://***@host:9/metrics?***"
