"""What is claimed of the application, and how would one find out?

claims.toml has a ``[[claim]]`` for each: the sentence as it is said, what that means as a measurement, the
experiment that tells, and in every ``[[claim.part]]`` a statistic with its limit. Which experiments and
statistics there are is given from outside: a file of claims is checked against them, and knows nothing of how
they are carried out.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from loadtest.contract.build import Builder
from loadtest.contract.faults import ContractError, Faults, kind, nearest
from loadtest.contract.table import Count, Name, Table

DEFAULT: Final = Path(__file__).with_name("claims.toml")
FORMAT: Final = 1
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
Compare = Literal["<=", ">=", "=="]
Names = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]


class Part(Table, frozen=True, kw_only=True):
    """One number of a claim. arms: the runs of the experiment that it is taken from.

    against: the arm that a ratio is taken to. of: an operation. attempt: a number of attempt. says: its name on
    the page. expects: what theory says will come of it, a hypothesis. decides: whether the verdict depends on
    it.
    """

    statistic: Name
    arms: Names
    compare: Compare
    limit: object
    against: Name | None = None
    of: Name | None = None
    attempt: Count | None = None
    says: Name | None = None
    expects: Name | None = None
    decides: bool = True

    def problems(self) -> Iterator[tuple[str, str]]:
        """A limit is a number."""
        if isinstance(self.limit, bool) or not isinstance(self.limit, int | float):
            yield "limit", f"expected a number, found {kind(self.limit)}"


class Claim(Table, frozen=True, kw_only=True):
    """One claim. restatement: what it means as a measurement. would_change: what the verdict hangs on."""

    name: Name
    sentence: Name
    restatement: Name
    experiment: Name
    part: tuple[Part, ...]
    would_change: Name | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """A name is typed on a command line and stands in an address."""
        if not _SLUG.fullmatch(self.name):
            yield "name", f"{self.name!r} must be of small letters, digits and hyphens"
        if not self.part:
            yield "part", "without a [[claim.part]] there is nothing to find out"
        elif not any(one.decides for one in self.part):
            yield "part", "at least one part must decide"


class Claims(Table, frozen=True, kw_only=True):
    """A file of claims."""

    claim: tuple[Claim, ...]
    format: int = FORMAT

    def problems(self) -> Iterator[tuple[str, str]]:
        """Names are unique; there is at least one."""
        if not self.claim:
            yield "claim", "no claims; write [[claim]] with a name and a sentence"
        names = [one.name for one in self.claim]
        for name in sorted({one for one in names if names.count(one) > 1}):
            yield "claim", f"two claims are called {name}"


class Keys(NamedTuple):
    """Which keys of a part a statistic needs, and which it may have, beside those that every part has."""

    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()


class Known(NamedTuple):
    """What claims may name: statistics with their keys, experiments with their arms, operations."""

    statistics: Mapping[str, Keys]
    experiments: Mapping[str, frozenset[str]]
    operations: frozenset[str]


def load(path: Path | None, known: Known) -> tuple[Claim, ...]:
    """The claims of a TOML file; None: those this package brings.

    Raises ContractError with one line per fault, all of them at once.
    """
    path = path or DEFAULT
    faults = Faults(str(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        faults.add("", f"not UTF-8 at byte {error.start}, save it as UTF-8")
    except (OSError, ValueError) as error:
        faults.add("", f"cannot be read: {getattr(error, 'strerror', None) or error}")
    else:
        return parse(text, known, str(path))
    raise faults.error()


def parse(text: str, known: Known, name: str = "claims") -> tuple[Claim, ...]:
    """The claims of TOML text. ``name`` opens every fault. Raises ContractError as ``load`` does."""
    faults = Faults(name)
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        faults.add("", f"not TOML: {error or 'nested too deeply'}")
        raise faults.error() from None
    newest = raw.get("format")
    if type(newest) is int and newest > FORMAT:
        faults.add(
            "format", f"{newest} is newer than {FORMAT}, which this release reads: update realtime-loadtest"
        )
        raise faults.error()
    claims = Builder(faults, frozenset()).table(Claims, raw)
    if faults.lines:
        raise faults.error()
    for index, claim in enumerate(claims.claim):
        _check(claim, f"claim[{index}]", known, faults)
    if faults.lines:
        raise faults.error()
    return claims.claim


def only(claims: tuple[Claim, ...], names: tuple[str, ...], where: str) -> tuple[Claim, ...]:
    """Those of these names, all if none is named. Raises ContractError for a name that there is not."""
    faults = Faults(where)
    for name in names:
        if name not in [one.name for one in claims]:
            faults.add("", _no_such("claim", name, [one.name for one in claims]))
    if faults.lines:
        raise faults.error()
    return tuple(one for one in claims if not names or one.name in names)


def _check(claim: Claim, at: str, known: Known, faults: Faults) -> None:
    """Against what there is."""
    arms = known.experiments.get(claim.experiment)
    if arms is None:
        faults.add(f"{at}.experiment", _no_such("experiment", claim.experiment, known.experiments))
    for index, part in enumerate(claim.part):
        here = f"{at}.part[{index}]"
        keys = known.statistics.get(part.statistic)
        if keys is None:
            faults.add(f"{here}.statistic", _no_such("statistic", part.statistic, known.statistics))
        else:
            _check_keys(part, keys, here, faults)
        if part.of is not None and part.of not in known.operations:
            faults.add(f"{here}.of", _no_such("operation", part.of, sorted(known.operations)))
        for arm in (*part.arms, *([part.against] if part.against else [])):
            if arms is not None and arm not in arms:
                faults.add(here, _no_such("arm", arm, sorted(arms), f" in the experiment {claim.experiment}"))


def _check_keys(part: Part, keys: Keys, at: str, faults: Faults) -> None:
    given = {name for name in ("against", "of", "attempt") if getattr(part, name) is not None}
    for name in sorted(keys.needs - given):
        faults.add(at, f'{part.statistic} needs the key "{name}"')
    for name in sorted(given - keys.needs - keys.takes):
        faults.add(at, f'{part.statistic} has no use for the key "{name}"')


def _no_such(what: str, name: str, there_are: Iterable[str], where: str = "") -> str:
    there_are = list(there_are)
    near = nearest(name, there_are)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(there_are)}"
    return f"there is no {what} {name!r}{where}; {hint}"


__all__ = ["Claim", "ContractError", "Keys", "Known", "Part", "load", "only", "parse"]
