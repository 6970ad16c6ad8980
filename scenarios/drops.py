"""Drops: people chat, and some of them lose their connection and find their way back.

locust -f scenarios/drops.py --headless -u 100 -r 50 -t 60s
locust -f scenarios/drops.py --headless -u 500 -r 100 -t 90s --rt-reconnect js --rt-fault abort@20
"""

from locust import task

from loadtest.users import RealtimeUser, defaults, on_schedule

# Three times, fifteen seconds apart, three users in ten are cut off.
defaults(fault="abort@0x3/15~0.3")


class DroppedUser(RealtimeUser):
    """A member of a conversation; ``--rt-fault`` is what happens to it, ``--rt-reconnect`` how it comes back."""

    wait_time = on_schedule(of="send")

    @task(4)
    def send(self) -> None:
        """Say something, connected or not."""
        self.send_message()

    @task(1)
    def read(self) -> None:
        """Read what came, and what was missed."""
        self.mark_read()
