"""The table of a connection's life."""

import pytest

from loadtest.protocol import TRANSITIONS, Input, LocalProtocolError, ProtocolError, State, as_markdown
from loadtest.protocol.life import LOCAL, advance

S, I = State, Input  # noqa: E741


@pytest.mark.parametrize(
    ("before", "cause", "after"),
    [
        (S.IDLE, I.OPEN, S.OPENING),
        (S.IDLE, I.LEAVE, S.CLOSED),
        (S.OPENING, I.ANSWERED, S.HANDSHAKING),
        (S.OPENING, I.LEAVE, S.CLOSED),
        (S.HANDSHAKING, I.SESSION, S.CONNECTING),
        (S.HANDSHAKING, I.LEAVE, S.CLOSING),
        (S.CONNECTING, I.JOINED, S.CONNECTED),
        (S.CONNECTING, I.REFUSED, S.DETACHED),
        (S.CONNECTING, I.EVENT, S.CONNECTING),
        (S.CONNECTED, I.DISMISSED, S.DETACHED),
        (S.CONNECTED, I.LEAVE, S.CLOSING),
        (S.DETACHED, I.PING, S.DETACHED),
        (S.DETACHED, I.LEAVE, S.CLOSING),
        (S.CLOSING, I.LEAVE, S.CLOSING),
        (S.CLOSING, I.CLOSE, S.CLOSED),
        (S.CLOSING, I.EOF, S.CLOSED),
        (S.CLOSED, I.LEAVE, S.CLOSED),
    ],
)
def test_a_legal_step(before: State, cause: Input, after: State) -> None:
    assert advance(before, cause) is after


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cause", Input)
def test_an_illegal_step_is_blamed_on_whose_input_it_is(state: State, cause: Input) -> None:
    if cause in TRANSITIONS[state]:
        assert advance(state, cause) is TRANSITIONS[state][cause]
        return
    blamed = LocalProtocolError if cause in LOCAL else ProtocolError
    with pytest.raises(blamed, match=state.name):
        advance(state, cause)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (S.HANDSHAKING, I.PING),
        (S.HANDSHAKING, I.EVENT),
        (S.CONNECTED, I.JOINED),
        (S.CONNECTED, I.SESSION),
        (S.CONNECTED, I.REFUSED),
        (S.CONNECTING, I.SEND),
        (S.DETACHED, I.SEND),
        (S.CLOSING, I.SEND),
        (S.CLOSED, I.OPEN),
        (S.CONNECTED, I.OPEN),
    ],
)
def test_what_must_stay_illegal(state: State, cause: Input) -> None:
    assert cause not in TRANSITIONS[state]


def test_every_state_has_a_row_and_is_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    reached, found = {State.IDLE}, {State.IDLE}
    while found:
        found = {after for state in found for after in TRANSITIONS[state].values()} - reached
        reached |= found
    assert reached == set(State)


def test_every_input_is_legal_somewhere() -> None:
    assert {cause for row in TRANSITIONS.values() for cause in row} == set(Input)


def test_every_state_can_end_and_nothing_leaves_closed() -> None:
    for state, row in TRANSITIONS.items():
        if state is not State.CLOSED:
            assert row[Input.FAULT] is State.CLOSED
            assert Input.LEAVE in row
    assert set(TRANSITIONS[State.CLOSED].values()) == {State.CLOSED}


def test_events_leave_connected_as_it_is() -> None:
    """The client does not look the table up for them: this is why it need not."""
    assert TRANSITIONS[State.CONNECTED][Input.EVENT] is State.CONNECTED
    assert TRANSITIONS[State.CONNECTED][Input.SEND] is State.CONNECTED


def test_markdown_shows_every_cell() -> None:
    header, rule, *rows = as_markdown().splitlines()
    width = len(Input) + 1
    assert header.count("|") == rule.count("|") == width + 1
    assert len(rows) == len(State)
    for state, row in zip(TRANSITIONS, rows, strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0].startswith(f"**{state.name}**")
        shown = {cause: cell for cause, cell in zip(Input, cells[1:], strict=True) if cell}
        assert shown == {cause: after.name for cause, after in TRANSITIONS[state].items()}
