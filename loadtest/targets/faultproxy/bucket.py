"""How many bytes may pass at this moment, at so many a second?"""

SECOND = 1_000_000_000
_GRAINS_PER_S = 50


class Bucket:
    """A token bucket in whole numbers: over any stretch of t seconds it lets pass at most rate * t + burst
    bytes. It starts empty.

    Bytes leave in grains of 20 ms, and the bucket holds two of them, so that one which leaves a little late
    costs nothing of the rate.
    """

    __slots__ = ("_grain", "_level", "_since_ns", "burst", "rate")

    def __init__(self, rate: int, now_ns: int) -> None:
        self.rate = rate
        self._grain = max(1, rate // _GRAINS_PER_S)
        self.burst = 2 * self._grain
        self._level = 0  # in billionths of a byte, so that nothing is rounded away
        self._since_ns = now_ns

    def available(self, now_ns: int) -> int:
        """Bytes that may pass now."""
        if now_ns > self._since_ns:
            grown = self._level + (now_ns - self._since_ns) * self.rate
            self._level = min(grown, self.burst * SECOND)
            self._since_ns = now_ns
        return self._level // SECOND

    def spend(self, count: int) -> None:
        """`count` bytes passed, no more than were available."""
        self._level -= count * SECOND

    def ready_ns(self, wanted: int) -> int:
        """When `wanted` bytes, or a grain of them, are available; not after the last `available` if they are."""
        missing = min(wanted, self._grain) * SECOND - self._level
        return self._since_ns + max(0, -(-missing // self.rate))
