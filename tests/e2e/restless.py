"""A scenario that changes rooms as often as it speaks."""

from locust import task

from loadtest.users import RealtimeUser, on_schedule


class RestlessUser(RealtimeUser):
    wait_time = on_schedule(of="send")

    @task
    def send(self) -> None:
        self.send_message()

    @task
    def switch(self) -> None:
        self.switch_room()
