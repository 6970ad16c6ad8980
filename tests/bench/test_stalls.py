"""A loop that stands still is caught at what it does, and one that waits is not."""

import subprocess
import sys

PROGRAM = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent
from bench.stalls import Watch

watch = Watch(limit_ms=4)

def dawdle():
    while not watch.looks:  # until it was seen here
        pass

gevent.sleep(0.05)
assert "dawdle" not in "".join(watch.found().lines())
before = watch.found().times
gevent.get_hub().loop.run_callback(dawdle)
gevent.sleep(0.05)
found = watch.found()
assert found.times > before
assert found.longest_ns >= 4_000_000
print("\\n".join(found.lines()))
"""


def test_it_says_where_the_time_went() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "times for more than 4 ms" in done.stdout
    assert " x  <string>:dawdle:" in done.stdout
