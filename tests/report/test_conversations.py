"""The page of a run with calls, live chats and several devices, and without a single message."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from loadtest.analysis.summary import summarise
from loadtest.measure.run import Run
from loadtest.report.outline import outline, outline_versus
from loadtest.report.render import render


def page_of(*shown: Run) -> str:
    return render(shown, [summarise(run) for run in shown])


def text_of(page: str) -> str:
    bare = re.sub(r"<svg.*?</svg>|<style>.*?</style>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare)).replace("&#39;", "'")


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)
    assert found, name
    return found[0]


def test_calls_say_what_became_of_them(conversing: Run) -> None:
    counts = summarise(conversing).calls
    text = text_of(section(page_of(conversing), "calls"))
    assert (
        f"Of {counts['dialled']} calls {counts['answered']} were answered, {counts['declined']} declined"
        in text
    )
    assert re.search(r"It rang within \d\.\d\d ms in the median, \d\.\d\d ms at p95\.", text)
    assert "without the time a person took to pick up" in text
    assert "a device of the callee rings upgrade to WebSocket 252 252" in text
    share = counts["answered"] / counts["dialled"] * 100
    assert f"answered {counts['answered']} {share:.1f} %" in text


def test_wrong_rings_are_bad(conversing: Run) -> None:
    page = section(page_of(conversing), "calls")
    assert "Wrong: rings that came after the end (1), devices that rang on after the end (1)." in text_of(
        page
    )
    assert page.count('<td class="bad">1</td>') == 2
    assert re.search(r'calls won by two devices</th><td class="quiet">0</td>', page), (
        "none of it is worth saying too"
    )


def test_live_chats_say_who_waited_how_long(conversing: Run) -> None:
    text = text_of(section(page_of(conversing), "live-chat"))
    assert re.search(
        r"200 visitors asked for help, 200 got an operator, half of them within \d+ ms; 66 were handed over\.",
        text,
    )
    assert "for an operator, since asking 200" in text
    assert "for the next operator, since the last one went 66" in text
    assert "a message is read upgrade to WebSocket 352 352" in text


def test_devices_presence_and_upgrades(conversing: Run) -> None:
    page = page_of(conversing)
    text = text_of(section(page, "devices"))
    assert text.startswith(
        " Presence, devices, upgrades and fallbacks Every user was connected with 2 devices;"
    )
    assert "38 of 40 sessions that began with polling (95.0 %) moved to WebSocket" in text
    assert (
        "fell back to a lesser transport 3 times, and got back to a better one 3 times, in 3 attempts."
        in text
    )
    assert re.search(r"the status of a call \d+ ", text)
    assert re.search(r"95.0 %", section(page, "devices"))


def test_the_upgrade_is_no_part_of_the_connect(conversing: Run, push: Run) -> None:
    page = section(page_of(conversing), "connections")
    split = re.search(r'<figure class="split".*?</figure>', page, re.DOTALL)
    assert split
    assert "WebSocket" not in text_of(split[0])
    assert "moving to WebSocket, afterwards" in text_of(page)
    row = text_of(page.split("moving to WebSocket, afterwards")[1])[:60]
    assert row.count("ms") >= 3


def test_tiles_and_pictures_are_of_what_the_run_is_there_for(conversing: Run) -> None:
    page = page_of(conversing)
    text = text_of(page)
    assert "Ring latency, median" in text and "Rung 100 % of 252 expected" in text
    assert "Bytes per active user and hour" in text and "Bytes per delivered message" not in text
    assert "6 calls per minute each" in text and "rooms of" not in text
    assert "<h2>Ring latency</h2>" in page
    for title in (
        "Ring latency at every percentile",
        "Ring latency over time",
        "Live chat latency over time",
    ):
        assert f"<h3>{title}</h3>" in page
    assert "active, per user and hour" in text
    assert "nothing was" not in text.split("How to reproduce")[0].split("Latency Completeness")[0]


def test_the_outline_of_calls_and_chats(conversing: Run) -> None:
    lines = outline(summarise(conversing))
    assert lines[0] == "VALID: calls over upgrade, 40 users, 22 s measured"
    assert "delivered: 252 of 252 call.ring, 0 lost, 0 late" in lines
    assert any(line.startswith("latency:   call.ring p50 2.09 ms") for line in lines)
    assert any(
        re.match(r"calls:     ring p95 4\.46 ms, 143 dialled, \d+ answered, .*1 ghost, 1 stale$", one)
        for one in lines
    )
    assert any(one.startswith("chats:     message p95") and one.endswith("66 handed over") for one in lines)
    assert re.match(r"bytes:     3\.8 MB per active user and hour", lines[-1])


def test_calls_over_two_transports(
    made: ModuleType, lively: ModuleType, conversing: Run, tmp_path: Path
) -> None:
    other = lively.conversing(made, tmp_path, "interval-polling", counters={"call.dialled": 1})
    text = text_of(page_of(conversing, other))
    assert "the ringing of a call over interval polling took" in text
    assert "Ring latency and bytes on the socket" in text
    assert re.search(r"a device of the callee rings upgrade to WebSocket 252 .* interval polling 252", text)
    assert (
        "upgrade to WebSocket: Of 143 calls" in text
        and "interval polling: Of 1 call none was answered." in text
    )
    lines = outline_versus(summarise(conversing), summarise(other))
    assert "delivered: 252 of 252 call.ring | 252 of 252 call.ring" in lines


def test_a_run_of_messages_beside_one_of_calls(conversing: Run, push: Run) -> None:
    """Nothing is common to both: they are shown, and not compared."""
    text = text_of(page_of(push, conversing))
    assert "took" not in text.split("Delivery latency at every")[0].split("Side by side")[-1]
    assert "Delivery latency, median" in text


def test_messages_alone_have_none_of_it(push: Run) -> None:
    page = page_of(push)
    for name in ("calls", "live-chat", "devices"):
        assert f'id="{name}"' not in page
        assert f'href="#{name}"' not in page
