"""Is a delivery that carries only the server's id counted once, whichever comes first, and a stranger's told?"""

from __future__ import annotations

from typing import Any, cast

import pytest

from loadtest.measure.operations import Operation
from loadtest.measure.plan import Plan
from loadtest.measure.recorder import Recorder
from loadtest.measure.units import SECOND
from loadtest.users.ids import Early, Ids

MESSAGE, RECEIPT = Operation.MESSAGE_DELIVER, Operation.RECEIPT_DELIVER


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(Plan(0), "0")


@pytest.fixture
def ids(recorder: Recorder) -> Ids:
    return Ids(recorder, SECOND)


def early(read_ns: int) -> Early:
    return Early(cast(Any, "a device"), read_ns, None)


def test_the_answer_comes_first(ids: Ids) -> None:
    assert ids.learn(MESSAGE, "7", "run:u:1", 10) == []
    assert ids.marker(MESSAGE, "7") == "run:u:1"
    assert ids.marker(RECEIPT, "7") is None and ids.marker(MESSAGE, "8") is None


def test_the_delivery_comes_first(ids: Ids) -> None:
    first, second = early(10), early(11)
    ids.wait(MESSAGE, "7", first)
    ids.wait(MESSAGE, "7", second)
    ids.wait(RECEIPT, "7", early(12))
    assert ids.learn(MESSAGE, "7", "run:u:1", 20) == [first, second]
    assert ids.learn(MESSAGE, "7", "run:u:1", 21) == []


def test_what_no_answer_explains_is_forgotten_and_counted(ids: Ids, recorder: Recorder) -> None:
    ids.wait(MESSAGE, "7", early(5))
    ids.learn(MESSAGE, "8", "run:u:2", 5)
    ids.wait(MESSAGE, "9", early(SECOND))
    assert len(ids.learn(MESSAGE, "7", "run:u:1", SECOND)) == 1
    ids.wait(MESSAGE, "10", early(SECOND + 6))
    assert ids.marker(MESSAGE, "8") is None and ids.marker(MESSAGE, "7") == "run:u:1"
    ids.wait(MESSAGE, "11", early(3 * SECOND))
    assert ids.learn(MESSAGE, "9", "run:u:3", 3 * SECOND) == []
    assert recorder.take(final=True).counters["foreign"] == 2  # 9 and 10; 7 had its answer in time
