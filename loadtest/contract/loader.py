"""Where does a contract come from? A TOML file, read whole and checked whole before anything runs."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadtest.contract.build import Builder
from loadtest.contract.faults import Faults
from loadtest.contract.model import FORMAT, Contract
from loadtest.contract.table import ALWAYS

DEFAULT: Final = Path(__file__).with_name("default.toml")
EXAMPLES: Final = Path(__file__).with_name("examples")
_LITERAL: Final = frozenset(
    {"args", "json", "auth"}
)  # payloads: a key "capture" in there is the server's word
_CAPTURING: Final = frozenset({"capture", "capture_cookie", "capture_header"})


def load(path: Path | None = None) -> Contract:
    """The contract in a TOML file; None: the one this package brings. ``broadcast`` names a shipped example.

    Raises ContractError with one line per fault, all of them at once: a file that cannot be read or is not
    TOML, unknown or missing keys, wrong types, bad paths and templates, a format newer than this release.
    """
    path = DEFAULT if path is None else _shipped(path) or path
    faults = Faults(str(path))
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark in front
    except UnicodeDecodeError as error:
        faults.add("", f"not UTF-8 at byte {error.start}, save it as UTF-8")
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        hint = "" if path.suffix else f"; examples that are here: {', '.join(examples())}"
        faults.add("", f"cannot be read: {reason}{hint}")
    else:
        return parse(text, str(path))
    raise faults.error()


def examples() -> list[str]:
    """The names of the examples that this package brings."""
    return sorted(path.stem for path in EXAMPLES.glob("*.toml"))


def _shipped(path: Path) -> Path | None:
    """The example of that name; a file in the working directory comes first."""
    if path.suffix or len(path.parts) != 1 or path.exists():
        return None
    shipped = EXAMPLES / f"{path}.toml"
    return shipped if shipped.exists() else None


def parse(text: str, name: str = "contract") -> Contract:
    """The contract in TOML text. ``name`` opens every fault. Raises ContractError as load does."""
    faults = Faults(name)
    try:
        return from_table(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        faults.add("", f"not TOML: {error}")
    except ValueError as error:  # a number of thousands of digits
        faults.add("", f"not TOML that can be read: {error}")
    except RecursionError:
        faults.add("", "nested too deeply to be a contract")
    raise faults.error()


def from_table(raw: dict[str, object], name: str = "contract") -> Contract:
    """The contract in data of TOML's types. Raises ContractError as load does."""
    faults = Faults(name)
    newest = raw.get("format")
    if type(newest) is int and newest > FORMAT:
        # Whatever else looks wrong is probably right in the newer format.
        faults.add(
            "format", f"{newest} is newer than {FORMAT}, which this release reads: update realtime-loadtest"
        )
        raise faults.error()
    contract = Builder(faults, ALWAYS.union(_captured(raw))).table(Contract, raw)
    if faults.lines:
        raise faults.error()
    return contract


def _captured(raw: object) -> Iterator[str]:
    """The names of everything the contract captures from answers: variables from then on."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            if key in _CAPTURING and isinstance(value, dict):
                yield from (name for name in value if re.fullmatch(r"[a-z_][a-z0-9_]*", name))
            elif key not in _LITERAL:
                yield from _captured(value)
    elif isinstance(raw, list):
        for item in raw:
            yield from _captured(item)
