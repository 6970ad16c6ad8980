"""A scenario that only says things: no room is ever left, so every count can be exact."""

from locust import task

from loadtest.users import RealtimeUser, on_schedule


class SteadyUser(RealtimeUser):
    wait_time = on_schedule()

    @task
    def send(self) -> None:
        self.send_message()
