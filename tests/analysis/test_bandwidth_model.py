"""The closed form: the table it is known by, its own algebra, a simulation beside it, and sizes found again."""

from __future__ import annotations

import math
import random

import pytest
from bandwidths import ITEM, MEMBERS, POLL_S, SIZES, weighed
from hypothesis import given
from hypothesis import strategies as st

from loadtest.analysis.bandwidth_model import (
    BROWSER,
    LEVELS,
    LIBRARY,
    PLAIN,
    SOCKET,
    WIRE,
    Exchange,
    Feed,
    Pair,
    Polling,
    Pushing,
    UnweighedError,
    Weighed,
    crossing,
    models,
    polling,
    pushing,
    rate_of_saving,
    textbook,
)

RATES = (0, 0.01, 0.1, 1, 5)


@pytest.mark.parametrize(
    ("heads", "interval_s", "savings", "ninety", "even"),
    [
        ((171, 126), 1.5, ["98.0", "97.3", "90.8", "45.6", "-19"], "0.11", "3.1"),
        ((171, 126), 2, ["97.4", "96.4", "87.9", "34.3", "-29"], "0.077", "2.3"),
        ((171, 126), 3, ["96.1", "94.6", "82.3", "16.9", "-41"], "0.042", "1.5"),
        ((992, 300), 1.5, ["99.3", "99.1", "96.8", "77.0", "26"], "0.38", "9.2"),
        ((992, 300), 3, ["98.7", "98.2", "93.7", "59.3", "-4"], "0.18", "4.6"),
    ],
)
def test_the_table_that_the_closed_form_is_known_by(
    heads: tuple[float, float], interval_s: float, savings: list[str], ninety: str, even: str
) -> None:
    """Minimal and browser-like heads, bodies of 150 bytes, a heartbeat every 25 s; to the digits printed there."""
    pair = textbook(*heads, 150, interval_s)
    for rate, saving in zip(RATES, savings, strict=True):
        digits = len(saving.partition(".")[2])
        assert f"{100 * pair.saving(rate, WIRE):.{digits}f}" == saving, rate
    assert f"{rate_of_saving(pair, 0.9, WIRE):.2g}" == ninety
    assert f"{rate_of_saving(pair, 0.0, WIRE):.2g}" == even


def test_the_idle_socket_costs_what_the_protocol_says() -> None:
    assert textbook(171, 126, 150, 1.5).pushing.cost(0, math.inf, WIRE) == pytest.approx(
        (3 + 7 + 3 * 52) / 25
    )


heads = st.floats(50, 2000)
bodies = st.floats(10, 2000)
intervals = st.floats(0.5, 10)


@given(heads, heads, bodies, intervals, st.floats(-1, 0.95))
def test_the_rate_of_a_saving_solves_the_equation(
    request: float, response: float, body: float, interval_s: float, saving: float
) -> None:
    pair = textbook(request, response, body, interval_s)
    for level in LEVELS:
        rate = rate_of_saving(pair, saving, level)
        if 0 < rate < 1000:
            assert pair.saving(rate, level) == pytest.approx(saving, abs=1e-9)
            found = crossing(lambda at, level=level: pair.ratio(at, level), 1 - saving)
            assert found == pytest.approx(rate, rel=1e-6)


@given(heads, heads, bodies, intervals, st.floats(0, 20), st.floats(0.001, 20))
def test_the_more_is_said_the_less_is_saved(
    request: float, response: float, body: float, interval_s: float, rate: float, more: float
) -> None:
    pair = textbook(request, response, body, interval_s)
    assert pair.saving(rate + more, WIRE) < pair.saving(rate, WIRE) + 1e-12


def test_a_saving_that_never_is_or_never_ends() -> None:
    dear = textbook(1, 1, 1000, 600)
    assert rate_of_saving(dear, 0.9, WIRE) < 0
    assert crossing(lambda rate: dear.ratio(rate, WIRE), 0.1) == 0.0
    # A frame smaller than the same message in a list: nothing is amortised that the frame would not save.
    cheap = Pair(
        Polling((Feed(1.5, Exchange(300, 4), Exchange(300, 4), Exchange(300, 0)),)),
        Pushing(25.0, Exchange(100, 2)),
        math.inf,
    )
    assert rate_of_saving(cheap, 0.0, SOCKET) == math.inf
    assert crossing(lambda rate: cheap.ratio(rate, SOCKET), 1.0) is None


def test_a_simulation_of_polls_and_messages_costs_the_same() -> None:
    """Message by message and poll by poll, from the definition alone."""
    pair = models(weighed(), MEMBERS)[BROWSER, 3, PLAIN]
    draw, seconds, delivered = random.Random(7), 40_000.0, 0.4
    messages = pair.polling.feeds[0]
    moments = []
    now = 0.0
    while (now := now + draw.expovariate(delivered * MEMBERS / (MEMBERS - 1))) < seconds:
        moments.append(now)
    total = sum(seconds / feed.interval_s * feed.quiet.at(WIRE) for feed in pair.polling.feeds[1:])
    asked_about, next_message, due = True, 0, 0.0
    while (due := due + messages.interval_s) < seconds:
        items = 0
        while next_message < len(moments) and moments[next_message] < due:
            items, next_message = items + 1, next_message + 1
        total += 0 if asked_about else messages.preflight.at(WIRE)
        total += (messages.news if items else messages.quiet).at(WIRE) + items * messages.item.at(WIRE)
        asked_about = not items
    total += len(moments) / MEMBERS * pair.polling.post.at(WIRE)
    heard = len(moments) / seconds * (MEMBERS - 1) / MEMBERS
    assert total / seconds == pytest.approx(pair.polling.cost(heard, MEMBERS, WIRE), rel=0.005)


@pytest.mark.parametrize("headers", [LIBRARY, BROWSER])
def test_sizes_are_found_again_in_what_was_weighed(headers: str) -> None:
    quiet, news, preflight, post = SIZES[headers]
    found = polling(weighed(), headers, 3)
    first = found.feeds[0]
    assert [feed.interval_s for feed in found.feeds] == list(POLL_S.values())
    sizes = [first.quiet.bytes, first.news.bytes, first.item.bytes, first.preflight.bytes, found.post.bytes]
    assert sizes == pytest.approx([quiet, news, ITEM, preflight, post], abs=1e-6)
    assert (first.quiet.segments, first.news.segments) == pytest.approx((3, 5))
    assert found.feeds[1].quiet == found.feeds[1].news == Exchange(quiet, 3)


def test_what_was_not_weighed_is_said() -> None:
    nothing = Weighed({}, [])
    with pytest.raises(UnweighedError, match="no feeds"):
        polling(nothing, LIBRARY, 1)
    with pytest.raises(UnweighedError, match="how often it pings"):
        pushing(nothing, PLAIN)
    with pytest.raises(UnweighedError, match="'heard'"):
        pushing(Weighed({}, [], 25.0), PLAIN)
    with pytest.raises(UnweighedError, match="no poll of messages"):
        polling(Weighed(POLL_S, []), LIBRARY, 1)
