"""What has the server done so far? The oracle against which a harness checks its own counts."""

from collections import Counter, deque

LAG_SAMPLES = 1_200


class Counters:
    """`received`: events and their REST equivalents, under the event's name. `emitted`: one per recipient
    socket or feed it was handed to. `accepted`: carried out, neither refused nor a repetition."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.emitted: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.rate_limited = 0
        self._lag_ns: deque[int] = deque(maxlen=LAG_SAMPLES)

    def lagged(self, lag_ns: int) -> None:
        """One sample of how much later than asked the event loop came round."""
        self._lag_ns.append(lag_ns)

    def lag_p99_ns(self) -> int:
        """Nearest-rank 99th percentile of the newest samples; 0 before the first."""
        ordered = sorted(self._lag_ns)
        return ordered[-(-99 * len(ordered) // 100) - 1] if ordered else 0
