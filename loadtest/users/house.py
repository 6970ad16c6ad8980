"""How does a run begin and end inside Locust, in one process and in many?

Every process has a House from ``init`` on. One that generates (local runner, worker) makes a LiveRun at
``test_start``; one that keeps the book (local runner, master) adds up what the generators hand over, decides
when the plan begins, and writes the Run at the end.

Locust's order of events differs by how a run ends: at ``-t`` it is test_stopping, users stop, test_stop,
quitting; on SIGTERM and Ctrl-C quitting comes first and the exit code is read right after it. So the books
close on whichever comes first, and everything may be called twice.
"""

from __future__ import annotations

import functools
import gc
import os
from typing import Any

from gevent import get_hub
from locust import argument_parser
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from loadtest.users import limits, live_otel
from loadtest.users.keeping import leave
from loadtest.users.local import LocalHouse
from loadtest.users.master import MasterHouse
from loadtest.users.options import DEFAULT_HOST
from loadtest.users.worker import WorkerHouse


def attach(environment: Any, runner: Any) -> None:
    """Take part in a Locust process; to be called once, from ``init``."""
    if runner is None:
        return
    if "iouring" in f"{os.environ.get('GEVENT_BACKEND', '')} {get_hub().loop.backend}".replace("_", ""):
        leave("GEVENT_BACKEND: io_uring keeps closed sockets open and aborts under load; use epoll")
    refusal = live_otel.refusal(environment.parsed_options)
    if refusal is not None:
        leave(refusal)
    environment.host = environment.host or DEFAULT_HOST
    limits.raise_descriptors()
    _avoid_stalls(environment)
    if isinstance(runner, WorkerRunner):
        WorkerHouse(environment, runner).attach()
    elif isinstance(runner, MasterRunner):
        MasterHouse(environment, runner).attach()
    elif isinstance(runner, LocalRunner):
        LocalHouse(environment, runner).attach()


def _avoid_stalls(environment: Any) -> None:
    """Pauses that Locust and Python would cause in the middle of a run, measured and taken out."""
    # Each spawn message makes a worker build an argument parser per option: 55-90 ms per ramp second.
    argument_parser.default_args_dict = functools.cache(argument_parser.default_args_dict)
    gc.collect()
    gc.freeze()
    # A full collection over thousands of connections takes 180 ms; rarer and of fewer objects, 24.
    gc.set_threshold(50_000, 20, 100)
    environment.events.spawning_complete.add_listener(lambda **_: gc.freeze())
