"""What does ``loadtest report`` on a run take?

    python -m bench.arms.rendering RUN

From a process that is small itself: what the kernel says of a child's peak begins with what its parent held.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import msgspec

from bench.task import Rendering

_KILOBYTE = 1024  # ru_maxrss of Linux


def measure(run: Path) -> Rendering:
    """One report, with everything that starting it takes. Exits with what it said if it failed."""
    page = run / "report.html"
    page.unlink(missing_ok=True)
    log = run / "report.log"
    began_s = perf_counter()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadtest", "report", str(run)], stdout=sink, stderr=sink
        )
    _, _, used = os.wait4(process.pid, 0)
    elapsed_s = perf_counter() - began_s
    if not page.is_file():
        sys.exit(f"no page; its last words:\n{log.read_text(errors='replace')}")
    return Rendering(
        elapsed_s, used.ru_utime + used.ru_stime, used.ru_maxrss * _KILOBYTE, page.stat().st_size
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measure(Path(sys.argv[1]))))
