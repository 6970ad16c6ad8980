"""The flags of a run as the parser would give them, for tests that need no parser."""

from __future__ import annotations

from argparse import Namespace

from loadtest.users.options import FLAGS, Settings, read


def flags_of(host: str | None = None, **changes: object) -> Settings:
    """The default of every flag but for ``changes``, named without ``--rt-``, in words or as they are."""
    words = {f"rt_{flag.name.replace('-', '_')}": flag.default for flag in FLAGS}
    words |= {f"rt_{name}": value for name, value in changes.items()}
    return read(Namespace(**words), host)
