"""Does a process tell what it and its children spend, as the system itself accounts for it?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from loadtest.users.server_probe import source_of
from loadtest.users.server_process import ProcessTree
from loadtest.users.server_source import Asked, Silent
from loadtest.users.target import Refused

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")

PARENT = """
import os, subprocess, sys
held = [open(os.devnull) for _ in range(40)]
child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
child.wait()
print("alone", flush=True)
sys.stdin = open(0)
import time
time.sleep(600)
"""


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[str]]:
    """A process with a busy child, which it ends once its input does."""
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_children_are_counted_and_what_they_spent_is_kept(
    parent: subprocess.Popen[str], until: Callable[[Callable[[], object]], None]
) -> None:
    assert parent.stdout is not None and parent.stdin is not None
    child = int(parent.stdout.readline())
    tree = ProcessTree(parent.pid)
    first = tree.ask()
    assert set(first.cpu_s) == {str(parent.pid), str(child)}
    until(lambda: tree.ask().cpu_s[str(child)] > first.cpu_s[str(child)] + 0.2)
    said = tree.ask()
    times = psutil.Process(child).cpu_times()
    assert said.cpu_s[str(child)] <= times.user + times.system
    memory = sum(psutil.Process(pid).memory_info().rss for pid in (parent.pid, child))
    assert said.rss_bytes == pytest.approx(memory, rel=0.3)
    assert 43 <= said.descriptors <= 60
    assert tree.about() == f"pid:{parent.pid}: /proc; 2 processes, added up"

    parent.stdin.close()
    assert parent.stdout.readline() == "alone\n"
    after = tree.ask()
    assert set(after.cpu_s) == {str(parent.pid)}
    assert after.cpu_s[str(parent.pid)] + after.gone_s >= sum(said.cpu_s.values())
    assert tree.about() == f"pid:{parent.pid}: /proc"


def _silent(tree: ProcessTree) -> bool:
    try:
        tree.ask()
    except Silent as silence:
        return str(silence) == "there is no such process"
    return False


def test_one_that_ends_is_silent_also_while_nobody_has_waited_for_it(
    parent: subprocess.Popen[str], until: Callable[[Callable[[], object]], None]
) -> None:
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    tree = ProcessTree(parent.pid)
    child.kill()
    parent.kill()
    until(lambda: _silent(tree))
    assert parent.returncode is None, "nobody has waited for it"


def test_nobody_is_refused_in_one_line() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(Refused) as refused:
        source_of(Asked(gone.pid))
    assert str(refused.value) == f"--rt-server-metrics pid:{gone.pid}: there is no such process"
