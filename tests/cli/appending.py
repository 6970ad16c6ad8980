"""Appends nights in a process of its own: ``python appending.py FILE FIRST COUNT WAY``.

WAY: ``each`` appends one after the other and prints a line for each; ``at-once`` appends all together; ``die``
does so too and kills itself when half of them are written.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from loadtest.analysis.history import Figure, Night
from loadtest.cli.history_file import append

made = runpy.run_path(str(Path(__file__).parents[1] / "analysis" / "nights.py"))
METRICS = 6


class Deadly(list[Night]):
    """The process dies where it comes to the middle."""

    def __iter__(self) -> Iterator[Night]:
        for index, night in enumerate(super().__iter__()):
            if index == len(self) // 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield night


def whole(number: int) -> Night:
    figures = {f"m{index}_ms": Figure(float(number), None, None, index) for index in range(METRICS)}
    return made["night"](number, path=f"night {number}", figures=figures)  # type: ignore[no-any-return]


def main(path: Path, first: int, count: int, way: str) -> None:
    nights = [whole(number) for number in range(first, first + count)]
    if way == "each":
        for night in nights:
            for said in append(path, [night], "20260901T021500Z"):
                print("said", said, flush=True)
            print("kept", night.path, flush=True)
    else:
        append(path, Deadly(nights) if way == "die" else nights, "20260901T021500Z")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
