"""How does a run go in a process that has users, and a master elsewhere?

Its moments are the master's, moved by how far this clock is ahead of that one; the master finds that out and says
it with its welcome. Before the welcome nobody is let in: a worker that comes in the middle of a run may be told to
spawn users before it is known what time it is.
"""

from __future__ import annotations

import argparse
import sys
from time import perf_counter_ns
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from locust import argument_parser

from loadtest.measure.rows import encode_delta
from loadtest.users import hello, locust_stats
from loadtest.users.clock_asking import ASK, TELL, tell
from loadtest.users.finish import USAGE
from loadtest.users.generating import Generating
from loadtest.users.live import Header
from loadtest.users.looking import find, look
from loadtest.users.muster import EXAMINE, EXAMINED, HELLO, REFUSED, WELCOME
from loadtest.users.options import SettingsError
from loadtest.users.options import read as read_settings
from loadtest.users.target import Refused, Target, contract_of

_AGAIN_S = 2.0
"""A master that was started a moment ago may not listen yet."""


def hold(environment: Any) -> None:
    """Let no user of a worker begin before the master has let the worker in.

    To be called before ``init``, too: to a worker that comes in the middle of a run Locust may give users while it
    is still making its runner.
    """
    is_worker = getattr(environment.parsed_options, "worker", False)
    if is_worker and getattr(environment, "rt_gate", None) is None:
        environment.rt_gate = Event()


class WorkerHouse(Generating):
    """A process that has users and a master elsewhere."""

    def __init__(self, environment: Any, runner: Any) -> None:
        self.environment = environment
        self.runner = runner
        self._final_sent = False
        self._heard_of = False
        self._header: Header | None = None
        self._offset_ns: int | None = None
        self._all_spawned = False

    def attach(self) -> None:
        """Hear Locust's events, and the master's messages; say hello."""
        events, runner = self.environment.events, self.runner
        events.test_start.add_listener(self.started)
        events.spawning_complete.add_listener(self.spawned)
        events.report_to_master.add_listener(self.reporting)
        events.quitting.add_listener(self.quitting)
        runner.register_message(ASK, self.tell_clock)
        runner.register_message(EXAMINE, self.examine, concurrent=True)
        runner.register_message(WELCOME, self.welcomed)
        runner.register_message(REFUSED, self.refused)
        runner.register_message("rt_begin", self.begin)
        runner.register_message("rt_drain", self.drained, concurrent=True)
        hold(self.environment)
        if getattr(self.environment.parsed_options, "rt_header", None):
            # Told to spawn before anybody listened: it came in the middle of a run, and has all its users.
            self.started()
            self._all_spawned = True
        gevent.spawn(self._say_hello)

    # -- before a run -----------------------------------------------------------------------------------

    def _say_hello(self) -> None:
        # Parsed anew: by now the master's may stand in the place of our own.
        own = argument_parser.get_parser().parse_args()
        said = msgspec.to_builtins(hello.of_this_process(self.environment, own))
        while not self._heard_of:
            self.runner.send_message(HELLO, said)
            gevent.sleep(_AGAIN_S)

    def tell_clock(self, msg: Any, **_: Any) -> None:
        """The master asks what time it is."""
        heard_ns = perf_counter_ns()
        self.runner.send_message(TELL, tell(msg.data, heard_ns))
        self._heard_of = True

    def examine(self, msg: Any, **_: Any) -> None:
        """The master asks what there is at the target, by its own flags."""
        try:
            answer = {"target": msgspec.to_builtins(self._look(msg.data))}
        except (Refused, SettingsError) as error:
            answer = {"refused": str(error)}
        self.runner.send_message(EXAMINED, answer)

    def _look(self, asked: dict[str, Any]) -> Target:
        options = argparse.Namespace(**{**vars(self.environment.parsed_options), **asked["flags"]})
        settings = read_settings(options, asked["host"])
        contract = contract_of(settings)
        place = find(settings, contract)
        return look(self.environment, settings, contract, place, asked["users"], asked["processes"])

    def refused(self, msg: Any, **_: Any) -> None:
        """The master says why this process may not take part; it leaves as with a wrong flag."""
        self._heard_of = True
        sys.stderr.write(f"{msg.data['line']}\n")
        sys.stderr.flush()
        self.environment.process_exit_code = USAGE
        gevent.spawn(self.runner.quit)

    def welcomed(self, msg: Any, **_: Any) -> None:
        """It may take part, and knows what time it is."""
        self._offset_ns = msg.data["offset_ns"]
        if self._header is not None and self.live is None:
            self._open()
        self.environment.rt_gate.set()
        if self._all_spawned and self.live is not None:
            self.live.spawned()  # after the users that waited here have run their first lines

    # -- during a run -----------------------------------------------------------------------------------

    def started(self, **_: Any) -> None:
        """The first spawn message of a run came, and with it the master's options and header."""
        options = self.environment.parsed_options
        self._final_sent = self._all_spawned = False
        self.end_live()
        given = getattr(options, "rt_header", None)
        self._header = msgspec.convert(given, Header) if given else None
        if self._header is not None and self._offset_ns is not None:
            self._open()

    def _open(self) -> None:
        assert self._header is not None and self._offset_ns is not None
        options = self.environment.parsed_options
        settings = read_settings(options, options.rt_host)
        started_ns = self._header.started_ns + self._offset_ns
        live = self.start_live(self._header, settings, str(self.runner.worker_index), started_ns)
        live.on_all_joined = self.all_joined

    def spawned(self, **_: Any) -> None:
        """The master says that all users everywhere have been started."""
        self._all_spawned = True
        if self.live is not None:
            self.live.spawned()

    def all_joined(self) -> None:
        """Everybody here is in, or has given up."""
        self.runner.send_message("rt_joined", {"worker": str(self.runner.worker_index)})

    def begin(self, msg: Any, **_: Any) -> None:
        """The master says when the plan begins, or began."""
        if self.live is not None and self._offset_ns is not None:
            self.live.begin(msg.data["at_ns"] + self._offset_ns)

    def reporting(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """Locust reports to the master every few seconds; what is new rides along."""
        if self.live is not None and not self._final_sent:
            data["rt"] = self._delta(final=False)

    def _delta(self, final: bool) -> dict[str, Any]:
        assert self.live is not None
        delta = self.live.recorder.take(final)
        locust_stats.show(
            self.runner.stats, delta.rows, not self.live.settings.fire_deliveries, delta.counters
        )
        # Bytes of our own encoder: one number of an odd type in a dict would silence all of Locust's reports.
        return {"worker": self.live.worker, "run": self.live.header.run, "delta": encode_delta(delta)}

    # -- the end of a run -------------------------------------------------------------------------------

    def drained(self, msg: Any, **_: Any) -> None:
        """The master asks for the last word."""
        if self.live is not None:
            self.drain(bool(msg.data["early"]))
            self.last_word()

    def last_word(self) -> None:
        """Send what is left, once; nothing is recorded afterwards."""
        if self._final_sent or self.live is None:
            return
        self._final_sent = True
        self.live.close()
        self.runner.send_message("rt_final", {**self._delta(final=True), "facts": self.facts()})

    def quitting(self, **_: Any) -> None:
        """This process leaves, told or on its own account; goes out before Locust's own goodbye."""
        self.last_word()
        self.end_live()
