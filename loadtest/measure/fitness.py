"""Past which signs of its own trouble is a generator not to be believed?

Past a limit a run is suspect, past twice the limit, or past the second number where there is one, it is invalid.
The report judges the whole run by them, and whoever watches a run under way sees how it stands so far.
"""

from __future__ import annotations

CPU_PERCENT = 60.0
"""Of one core, p95 of the seconds: at 60 % send lateness p99 is below 10 ms, at 74 % it is 54 ms."""
CPU_INVALID_PERCENT = 85.0
LAG_MS = 5.0
"""p99 of the receive lag, and of the lag of the loop."""
SEND_LAG_MS = 3.0
"""p99 of how late users woke up to act."""
SHARE = 0.1
"""Lags may be this part of the latency p99 if that is more: 20 ms spoil a latency of 2 ms, not one of 1.5 s."""
