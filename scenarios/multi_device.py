"""Several devices: everybody is connected twice, and what one device does the other must see too.

locust -f scenarios/multi_device.py --headless -u 100 -r 50 -t 60s
"""

from locust import task

from loadtest.users import RealtimeUser, defaults, on_schedule

defaults(devices="2")


class TwiceUser(RealtimeUser):
    """A member of a conversation with ``--rt-devices`` devices; it acts on any of them."""

    wait_time = on_schedule(of="send")

    @task(3)
    def send(self) -> None:
        """Say something on one device; the others get it as everybody does."""
        self.send_message()

    @task(2)
    def read(self) -> None:
        """Read on one device; the others hear how far."""
        self.mark_read()
