"""Fallback: WebSockets are refused in the middle; people go on over polling, and back when they work again.

locust -f scenarios/fallback.py --headless -u 100 -r 50 -t 60s
"""

from locust import task

from loadtest.users import RealtimeUser, defaults, on_schedule

# For ten seconds the server cuts every WebSocket and takes no new one.
defaults(fault="refuse-upgrade@10x1:10")


class FallbackUser(RealtimeUser):
    """A member of a conversation that takes the best transport it can get."""

    ladder = ("websocket", "long-polling", "interval-polling")
    wait_time = on_schedule()

    @task
    def send(self) -> None:
        """Say something, whatever carries it."""
        self.send_message()
