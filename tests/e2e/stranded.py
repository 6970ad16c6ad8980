"""A scenario whose users leave their conversation after the first word and go on talking."""

from locust import task

from loadtest.users import RealtimeUser, on_schedule


class StrandedUser(RealtimeUser):
    wait_time = on_schedule(of="send")

    @task
    def send(self) -> None:
        self.send_message()
        self.leave_room()
