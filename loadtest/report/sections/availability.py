"""How much of the time were people reachable, and how many messages reached them in time?"""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.analysis.availability import Availability
from loadtest.analysis.figures import say_share
from loadtest.measure.units import say_seconds
from loadtest.report.subject import Subject
from loadtest.report.table import Cell, Row, Table, known, table
from loadtest.report.words import UNKNOWN, count


def availability_sentence(subject: Subject) -> str:
    """Both shares; empty where the run does not know them."""
    found = subject.summary.availability
    if found is None or found.user_share is None:
        return ""
    messages = (
        f", and {say_share(found.message_share)} of the messages reached their receivers within "
        f"{say_seconds(found.deadline_s)}"
        if found.message_share is not None
        else ""
    )
    share = say_share(found.user_share)
    return f"Users were connected and in their rooms {share} of the time{messages}."


def availability_table(subjects: Sequence[Subject], heads: list[str]) -> Table:
    """Users first, then messages, each with the interval or the time that was lost."""
    found = [(one, known) for one in subjects if (known := one.summary.availability) is not None]
    rows = [_of_users(*pair) for pair in found] + [_of_messages(*pair) for pair in found]
    return table("Availability in the measured phase", ["of", *heads], ["share", "out of", "beside"], rows)


def _of_users(subject: Subject, found: Availability) -> Row:
    share, beside = UNKNOWN, UNKNOWN
    if found.user_share is not None and found.outage_s is not None and found.longest_s is not None:
        share = say_share(found.user_share)
        beside = f"out for {say_seconds(found.outage_s)}, at most {say_seconds(found.longest_s)} at a time"
    return Row(
        [Cell("users: connected and in their rooms"), *subject.who],
        [
            known(share, found.why.get("user_share", "")),
            Cell(f"{say_seconds(found.observed_s)} of user time"),
            known(beside, found.why.get("outage_s", "")),
        ],
    )


def _of_messages(subject: Subject, found: Availability) -> Row:
    share, beside = UNKNOWN, UNKNOWN
    if found.message_share is not None:
        share = say_share(found.message_share)
        low, high = found.ci95["message_share"]
        beside = f"95 % interval: {say_share(low)} to {say_share(high)}"
    return Row(
        [Cell(f"messages: read within {say_seconds(found.deadline_s)}"), *subject.who],
        [
            known(share, found.why.get("message_share", "")),
            Cell(f"{count(found.expected)} owed"),
            Cell(beside, tone="quiet"),
        ],
    )
