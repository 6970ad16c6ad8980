"""Users who are connected, have joined, and say nothing: what is left to measure is how they come back."""

from __future__ import annotations

from locust import task

from loadtest.users import RealtimeUser, on_schedule

_ONCE_IN_A_CENTURY = 3e-10


class Idler(RealtimeUser):
    """It has a schedule, as everybody has, and no moment of it is near."""

    wait_time = on_schedule(rate=_ONCE_IN_A_CENTURY)

    @task
    def send(self) -> None:
        """What it would say if its moment came."""
        self.send_message()
