"""A scenario with a bug in its own hook: the third message that a user hears is one too many."""

from typing import Any

from locust import task

from loadtest.users import RealtimeUser, on_schedule


class ClumsyUser(RealtimeUser):
    wait_time = on_schedule()
    heard = 0

    @task
    def send(self) -> None:
        self.send_message()

    def on_event(self, name: str, args: list[Any]) -> None:
        self.heard += name == "message:new"
        if self.heard == 3:
            raise ZeroDivisionError("a bug of the scenario")
