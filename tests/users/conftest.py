"""Two real ends on one hub, without monkey patching.

`import locust` patches the standard library, which would change every other test of this process; the switch
it has for that is set for the length of the import only, so that no child process inherits it. What is tested
here needs no patching: gevent's own sockets, events and greenlets work beside an unpatched library, and a
call that blocks one of them runs the hub. What needs the patched whole is tested in tests/e2e.
"""

import gc
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
try:
    import locust  # noqa: F401
finally:
    del os.environ["LOCUST_SKIP_MONKEY_PATCH"]

import gevent

if TYPE_CHECKING:
    from stage import Stage

sys.path.append(
    str(Path(__file__).parent)
)  # importlib mode does not make what lies beside the tests importable
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

PATIENCE_S = 20.0


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """``until(condition)`` runs the hub until it holds."""

    def run(holds: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, "it never came to that"
            gevent.sleep(0.001)

    return run


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening socket on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _old_objects_stay() -> None:
    """Half a million objects of Locust's would make every test's last collection take a tenth of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., "Stage"]]:
    """``stage(server, **flags)`` is a run in memory; it ends with the test, and leaves nothing behind."""
    from stage import Stage

    made: list[Stage] = []

    def make(*args: object, **flags: object) -> Stage:
        made.append(Stage(monkeypatch, *args, **flags))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture(autouse=True)
def _quiet_hub() -> Iterator[None]:
    """An exception that reaches the hub stops a watcher for good: it fails the test that let it happen."""
    hub = gevent.get_hub()
    reached: list[object] = []
    plain = hub.handle_error
    hub.handle_error = lambda context, kind, value, trace: reached.append(value)
    try:
        yield
        gevent.sleep(0)
    finally:
        hub.handle_error = plain
    gc.collect()
    assert reached == []
