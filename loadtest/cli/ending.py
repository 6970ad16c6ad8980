"""How does a command end that takes minutes?"""

from __future__ import annotations

import signal


def end_in_order() -> None:
    """From here on SIGTERM ends the command as Ctrl-C does.

    A job that CI cancels gets it. What was measured by then is judged and written all the same, and no server is
    left behind.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
