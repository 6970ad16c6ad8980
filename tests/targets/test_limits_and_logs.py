"""Do the counting nouns (rate window, messages, read marks, feed) agree with slow but obvious oracles?"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.targets.reference.clock import SECOND
from loadtest.targets.reference.feed import FORGET_AFTER_NS, TYPING_FRESH_NS, FeedLog, Feeds, etag
from loadtest.targets.reference.messages import MessageLog, Receipt, Receipts
from loadtest.targets.reference.ratelimit import SlidingWindow
from loadtest.targets.reference.readmarks import ReadMarks
from loadtest.targets.reference.refusal import Refusal


def raw(number: int) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(number))


def numbers(items: list[msgspec.Raw]) -> list[int]:
    return [msgspec.json.decode(item) for item in items]


# -- rate window


@given(limit=st.integers(1, 5), steps=st.lists(st.integers(0, 40), max_size=60))
def test_the_window_accepts_what_a_list_of_all_times_would(limit: int, steps: list[int]) -> None:
    window, accepted, now = SlidingWindow(limit, 100), list[int](), 1_000
    for step in steps:
        now += step
        recent = [at for at in accepted if now - 100 < at <= now]
        wait = window.wait_ns(now)
        assert (wait == 0) == (len(recent) < limit)
        if wait:
            later = now + wait
            assert len([at for at in accepted if later - 100 < at]) < limit
            assert len([at for at in accepted if later - 1 - 100 < at]) >= limit
        else:
            window.accept(now)
            accepted.append(now)
        assert window.is_empty(now) == (not [at for at in accepted if now - 100 < at])


def test_refused_events_do_not_extend_the_window() -> None:
    window = SlidingWindow(1, 60 * SECOND)
    window.accept(0)
    assert [window.wait_ns(second * SECOND) for second in (0, 30, 59)] == [60 * SECOND, 30 * SECOND, SECOND]
    assert window.wait_ns(60 * SECOND) == 0


def test_no_limit_never_waits_and_remembers_nothing() -> None:
    window = SlidingWindow(0, SECOND)
    for _ in range(10):
        window.accept(5)
    assert window.wait_ns(5) == 0
    assert window.is_empty(5)


# -- messages


@given(count=st.integers(0, 60), since=st.integers(-3, 70), limit=st.integers(1, 20), keep=st.integers(1, 40))
def test_a_resync_and_a_page_agree_with_the_whole_list(count: int, since: int, limit: int, keep: int) -> None:
    log, everything = MessageLog(keep=keep), list[int]()
    for _ in range(count):
        everything.append(log.next_seq())
        log.append(raw(log.next_seq()))
    assert everything == list(range(1, count + 1))
    missed = [seq for seq in everything if seq > since]
    newest, truncated = log.newest_since(since, limit)
    assert numbers(newest) == missed[max(0, len(missed) - min(limit, keep)) :]
    assert truncated == (len(newest) < len(missed))
    kept = [seq for seq in everything[max(0, count - keep) :] if seq > since]
    page, more = log.page(since, limit)
    assert numbers(page) == kept[:limit]
    assert more == (len(kept) > limit)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=60))
def test_receipts_remember_the_newest_of_each_sender(sends: list[tuple[str, int]]) -> None:
    receipts, oracle = Receipts(keep=3), dict[str, list[tuple[int, Receipt]]]()
    for position, (sender, key) in enumerate(sends):
        known = dict(oracle.get(sender, []))
        assert receipts.find(sender, str(key)) == known.get(key)
        if key not in known:
            receipt = Receipt(f"m{position}", position, position)
            receipts.remember(sender, str(key), receipt)
            oracle[sender] = [*oracle.get(sender, []), (key, receipt)][-3:]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20))))
def test_a_read_mark_is_the_highest_ever_set(reads: list[tuple[str, int]]) -> None:
    marks, highest = ReadMarks(), dict[str, int]()
    for user, up_to in reads:
        before = highest.get(user, 0)
        highest[user] = max(before, up_to)
        assert marks.advance(user, up_to) == (highest[user], up_to > before)


# -- feed


@given(st.lists(st.one_of(st.just("append"), st.integers(1, 5)), max_size=80))
def test_pages_of_a_feed_are_the_list_of_what_was_appended(steps: list[str | int]) -> None:
    log, appended, fetched, pos = FeedLog("f", 0, keep=1_000), list[int](), list[int](), 0
    for step in steps:
        if step == "append":
            appended.append(len(appended))
            log.append("message:new", raw(appended[-1]), 0)
            continue
        page = log.since(pos, int(step), 0)
        assert len(page.items) == min(int(step), len(appended) - len(fetched))
        assert [item.pos for item in page.items] == list(range(pos + 1, pos + 1 + len(page.items)))
        fetched += numbers([item.data for item in page.items])
        assert page.has_more == (len(fetched) < len(appended))
        assert page.moved == bool(page.items)
        pos = page.pos
    assert fetched == appended[: len(fetched)]


@given(appended=st.integers(0, 30), keep=st.integers(1, 10), pos=st.integers(0, 30))
def test_a_log_reaches_back_exactly_as_far_as_it_can_answer(appended: int, keep: int, pos: int) -> None:
    log = FeedLog("f", 0, keep=keep)
    for number in range(1, appended + 1):
        log.append("message:new", raw(number), 0)
    kept = set(range(1, appended + 1)[-keep:])
    missing = set(range(pos + 1, appended + 1))
    assert log.reaches_back_to(pos) == (missing <= kept)


def test_stale_typing_is_passed_over() -> None:
    log = FeedLog("f", 0)
    log.append("typing:start", raw(1), 0)
    log.append("message:new", raw(2), 0)
    log.append("typing:stop", raw(3), 1)
    page = log.since(0, 10, TYPING_FRESH_NS)
    assert numbers([item.data for item in page.items]) == [2, 3]
    only_stale = log.since(2, 10, 2 * TYPING_FRESH_NS)
    assert (only_stale.items, only_stale.moved, only_stale.pos) == ([], True, 3)


def test_a_feed_begins_with_its_first_read_and_ends_with_silence() -> None:
    feeds = Feeds("boot")
    assert not feeds
    assert feeds.append("ann", "message:new", raw(1), 0) is False
    first = feeds.read("ann", None, 10, 0)
    assert feeds.append("ann", "message:new", raw(2), 0) is True
    assert numbers([item.data for item in feeds.read("ann", first.cursor, 10, 1).items]) == [2]
    assert feeds.forget_silent(FORGET_AFTER_NS) == 0
    assert feeds.forget_silent(FORGET_AFTER_NS + 1) == 1
    with pytest.raises(Refusal) as gone:
        feeds.read("ann", first.cursor, 10, FORGET_AFTER_NS + 2)
    assert gone.value.code == "CURSOR_EXPIRED"
    assert feeds.read("ann", gone.value.beside["cursor"], 10, FORGET_AFTER_NS + 3).items == []


def test_a_cursor_that_fell_out_of_the_log_has_expired() -> None:
    feeds = Feeds("boot")
    first = feeds.read("ann", None, 10, 0)
    for number in range(2_001):
        feeds.append("ann", "message:new", raw(number), 0)
    with pytest.raises(Refusal) as gone:
        feeds.read("ann", first.cursor, 10, 0)
    assert (gone.value.code, gone.value.status) == ("CURSOR_EXPIRED", 410)


def test_an_etag_is_always_a_legal_header() -> None:
    assert etag("ann", 3) == 'W/"ann-m-3"'
    assert Feeds("boot", "c").etag("ann", 3) == 'W/"ann-c-3"'
    assert etag('a"ü\n', 3).isascii()
    assert "\n" not in etag("a\nb", 3)
