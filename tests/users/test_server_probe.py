"""Do the server's own figures stand in the second they belong to, and does silence leave a gap and no more?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from time import perf_counter_ns

import pytest

from loadtest.measure.plan import Plan
from loadtest.measure.rows import ServerRow
from loadtest.measure.units import SECOND
from loadtest.users import server_probe
from loadtest.users.server_probe import ServerWatch, spent
from loadtest.users.server_source import Silent, Told


def test_cpu_of_one_process() -> None:
    assert spent(Told({"": 1.0}), Told({"": 1.5}), SECOND, False) == (50.0, -1.0)
    assert spent(Told({"": 1.0}), Told({"": 1.5}), 2 * SECOND, False) == (25.0, -1.0)


def test_cpu_of_several_processes_and_of_the_busiest() -> None:
    before, now = Told({"a": 1.0, "b": 5.0}), Told({"a": 1.2, "b": 5.7})
    assert spent(before, now, SECOND, False) == pytest.approx((90.0, 70.0))


def test_a_process_that_was_started_anew_has_spent_nobody_knows_what() -> None:
    assert spent(Told({"": 9.0}), Told({"": 0.1}), SECOND, False) == (-1.0, -1.0)
    assert spent(Told({"a": 9.0}), Told({"a": 9.5, "b": 30.0}), SECOND, False) == (-1.0, -1.0)
    assert spent(Told(), Told({"": 1.0}), SECOND, False) == (-1.0, -1.0)


def test_a_child_that_ended_is_in_its_parent_s_account() -> None:
    before = Told({"parent": 2.0, "child": 100.0}, gone_s=1.0)
    now = Told({"parent": 2.25}, gone_s=101.25)
    assert spent(before, now, SECOND, True) == (50.0, -1.0)
    born = Told({"parent": 2.25, "child": 0.5}, gone_s=1.0)
    assert spent(Told({"parent": 2.0}, gone_s=1.0), born, SECOND, True) == (75.0, 50.0)


class Scripted:
    """A source that says one thing after the other, and the last one for ever."""

    name = "pid:12"
    keeps_the_dead = True

    def __init__(self, *answers: Told | str) -> None:
        self._answers = list(answers)
        self.asked = 0

    def ask(self) -> Told:
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if isinstance(answer, str):
            raise Silent(answer)
        return answer

    def about(self) -> str:
        return self.name


@pytest.fixture
def watch(
    monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], object]], None]
) -> Callable[..., tuple[list[ServerRow], str | None]]:
    """Ask a source so many times, seconds apart on a clock of its own; the rows, and the note at the end."""

    def run(source: Scripted, times: int, polling: bool = False) -> tuple[list[ServerRow], str | None]:
        began_ns = perf_counter_ns()
        looks = count()  # twice for each question: before and after
        monkeypatch.setattr(
            server_probe, "perf_counter_ns", lambda: began_ns + next(looks) // 2 * SECOND + SECOND // 2
        )
        monkeypatch.setattr(server_probe, "PAUSE_S", 0.001)
        rows: list[ServerRow] = []
        watching = ServerWatch(source, Plan(began_ns), rows.append, polling)
        until(lambda: source.asked > times)
        watching.stop()
        return rows[:times], watching.note()

    return run


def test_rows_have_what_was_said(watch: Callable[..., tuple[list[ServerRow], str | None]]) -> None:
    source = Scripted(*(Told({"": 1.0 + n / 4}, 1000 + n, 1.5, 7, 30) for n in range(9)))
    rows, note = watch(source, 3)
    assert rows[0] == ServerRow(0, 7, -1.0, 1000, 1.5, 30)
    assert rows[1:] == [ServerRow(1, 7, 25.0, 1001, 1.5, 30), ServerRow(2, 7, 25.0, 1002, 1.5, 30)]
    assert note is None


def test_polling_users_have_no_sockets_that_it_could_count(
    watch: Callable[..., tuple[list[ServerRow], str | None]],
) -> None:
    rows, _ = watch(Scripted(Told(sockets=7, descriptors=9)), 1, polling=True)
    assert rows == [ServerRow(0, descriptors=9)]


def test_silence_is_a_gap_and_a_note(watch: Callable[..., tuple[list[ServerRow], str | None]]) -> None:
    source = Scripted(Told({"": 1.0}), "it has ended", "it has ended", Told({"": 2.0}), Told({"": 2.5}))
    rows, note = watch(source, 5)
    assert [row.second for row in rows][:3] == [0, 3, 4]
    assert [row.cpu_percent for row in rows][:3] == [-1.0, -1.0, 50.0]
    assert note == (
        "The server's own figures have a gap of 2.0 s from second 1 on: pid:12 did not answer (it has ended)."
    )


def test_later_gaps_are_counted(watch: Callable[..., tuple[list[ServerRow], str | None]]) -> None:
    there = Told({"": 1.0})
    source = Scripted(there, "x", *[there] * 4, "y", *[there] * 4, "z", *[there] * 9)
    _, note = watch(source, 15)
    assert note is not None
    assert "from second 1 on, and 2 more gaps later: pid:12 did not answer (x)" in note
