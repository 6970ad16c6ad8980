"""Under which names does a cluster keep what it has in Redis?"""

from typing import NamedTuple


class Keys(NamedTuple):
    """All begin with the name of the cluster, so that clusters may share a Redis."""

    cluster: str

    @property
    def log(self) -> str:
        """Stream: everything that has happened."""
        return f"{self.cluster}:log"

    @property
    def lease(self) -> str:
        """Who lets time pass."""
        return f"{self.cluster}:lease"

    @property
    def instances(self) -> str:
        """Hash: what each instance last said of itself."""
        return f"{self.cluster}:instances"

    def alive(self, origin: str) -> str:
        """There as long as that instance renews it."""
        return f"{self.cluster}:alive:{origin}"
