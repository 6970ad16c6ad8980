"""How many sockets may a server have? As many as this process is allowed to allow itself."""

import contextlib
import resource

_PLENTY = 1_000_000


def raise_limit() -> int:
    """Raises the soft limit, usually 1024, to the hard one; returns what it is now."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _PLENTY if soft == resource.RLIM_INFINITY else soft
