"""Does a server that shares its state through Redis keep the contract too?

A few tests of each part, taken from where they stand, against a server with REDIS_URL.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

# importlib mode does not make what stands beside the tests importable
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "targets")]

import test_authentication as authentication
import test_calls as calls
import test_errors as errors
import test_hooks as hooks
import test_http as http
import test_live_chat as live_chat
import test_messaging as messaging
import test_presence as presence
from contract_servers import KINDS, Server, Servers, running
from redis_server import redis_server

pytestmark = pytest.mark.proof

TAKEN = (
    authentication.test_nothing_is_done_for_strangers,
    authentication.test_somebody_elses_token_is_refused,
    messaging.test_what_was_missed_is_told_as_it_was_said,
    messaging.test_who_has_left_hears_nothing_more,
    messaging.test_a_message_reaches_everybody_and_its_sender,
    messaging.test_the_same_message_again_is_delivered_once,
    messaging.test_meta_comes_back_in_messages_receipts_and_typing,
    messaging.test_five_seconds_of_silence_end_typing,
    messaging.test_typing_ends_with_the_socket,
    calls.test_the_first_device_wins,
    calls.test_a_call_that_nobody_answers_is_missed,
    calls.test_a_party_that_is_gone_for_ten_seconds_ends_the_call,
    live_chat.test_online_takes_away_keeps_and_offline_gives_back,
    live_chat.test_the_first_operator_who_accepts_gets_the_chat,
    live_chat.test_the_chats_of_an_operator_who_is_lost,
    live_chat.test_a_visitor_who_is_gone_for_a_minute_has_left,
    presence.test_who_is_here_and_with_how_many_devices,
    presence.test_who_is_gone_for_a_while_is_offline,
    errors.test_the_hundred_and_first_message_of_a_socket_is_refused,
    errors.test_the_hundred_and_first_write_of_a_token_is_refused,
    http.test_a_feed_goes_on_from_its_cursor,
    http.test_a_cursor_is_too_old_or_was_never_given_out,
    hooks.test_deliveries_are_held_back,
    hooks.test_deliveries_are_lost_doubled_and_turned_round,
)
globals().update({test.__name__: test for test in TAKEN})


class SharingServers(Servers):
    """Each a cluster of its own, on one Redis."""

    def __init__(self, stack: contextlib.ExitStack, redis_url: str) -> None:
        super().__init__(stack)
        self._redis_url = redis_url

    def get(self, target: str, kind: str) -> Server:
        key = (target, kind)
        if key not in self._running:
            switches = {**KINDS[kind], "REDIS_URL": self._redis_url, "CLUSTER": uuid.uuid4().hex}
            self._running[key] = self._stack.enter_context(running(target, **switches))
        return self._running[key]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with redis_server() as redis, contextlib.ExitStack() as stack:
        yield SharingServers(stack, redis.url)
