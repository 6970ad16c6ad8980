"""Where do floors lie? ``floors.json`` in the directory of what they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from loadtest.measure.run import FLOORS, RunError

if TYPE_CHECKING:
    from loadtest.analysis.floors import Floors


class _Format(msgspec.Struct):
    format: int


def read_floors(directory: Path) -> Floors | None:
    """Those of a run, or of a calibration; None where there are none. Raises RunError."""
    from loadtest.analysis.floors import FORMAT, Floors

    path = directory / FLOORS
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        written = msgspec.json.decode(content, type=_Format).format
        if written > FORMAT:
            raise RunError(
                f"{path}: written in format {written} by a newer version; this one reads up to {FORMAT}: "
                "upgrade realtime-loadtest"
            )
        return msgspec.json.decode(content, type=Floors)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: not a file of floors ({error})") from None


def write_floors(directory: Path, floors: Floors) -> Path:
    """Write them there, whole or not at all. Raises RunError."""
    from loadtest.report.render import write_file

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{directory}: cannot be made ({error.strerror})") from None
    content = msgspec.json.format(msgspec.json.encode(floors), indent=2) + b"\n"
    return write_file(directory / FLOORS, content)
