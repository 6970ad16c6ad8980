"""Rate limit: one says more in a minute than a socket may, loses its connection, and says it all again.

loadtest serve --rate-limit 100
locust -f scenarios/rate_limit.py --headless -u 2 -r 2 -t 70s
"""

from locust import task

from loadtest.users import RealtimeUser, defaults, on_schedule

SAYS = 110
"""On each connection: ten more than the application takes."""

# Five a second: a batch takes 22 s, so both fall into less than the minute after the first message, and there is
# time enough until the connection is lost for everybody to say all of it.
defaults(rate="5/s", room_size="2", warmup="0s", fault="abort@33", drain="6s")


class LimitedUser(RealtimeUser):
    """The first of its room says SAYS messages on every connection; the other one listens."""

    wait_time = on_schedule()
    left = 0

    def arrived(self) -> None:
        """Begin to count."""
        super().arrived()
        self.left = SAYS if self.first else 0

    @property
    def first(self) -> bool:
        """Whether it is the one that talks."""
        return self is self.circle[0]

    @task
    def send(self) -> None:
        """Say something, if there is something left to say."""
        if self.left:
            self.left -= 1
            self.send_message()

    def came_back(self, device: object) -> None:
        """A new connection: everything once more."""
        self.left = SAYS if self.first else 0
