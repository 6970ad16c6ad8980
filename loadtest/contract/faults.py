"""What is wrong with a contract file, where, and what to do about it: all of it, in one go."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")  # TOML 1.0: keys that need no quotes


class ContractError(Exception):
    """A contract that cannot be used. ``faults``: lines ``file: key.path: reason``; str() joins them."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults: list[str] = list(faults)
        super().__init__("\n".join(self.faults))


class Faults:
    """Collects faults while a file is read, so that its author sees every one of them at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []

    def add(self, at: str, reason: str) -> None:
        """Note one fault. ``at``: the key path, empty for the file as a whole."""
        self.lines.append(f"{self.file}: {at}: {reason}" if at else f"{self.file}: {reason}")

    def error(self) -> ContractError:
        """Everything noted, as the exception to raise."""
        return ContractError(self.lines)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` was probably meant to be, if there is one."""
    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def join(at: str, key: str) -> str:
    """The path of a key inside ``at``, quoted as TOML wants it where it is not a bare word."""
    word = (
        key if _BARE.fullmatch(key) else '"' + key.encode("unicode_escape").decode().replace('"', '\\"') + '"'
    )
    return f"{at}.{word}" if at else word


def kind(value: object) -> str:
    """What a TOML value is, in the words of somebody who writes TOML."""
    names: dict[type, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a fraction",
        str: "text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")
