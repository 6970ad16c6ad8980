"""A scenario whose users have had enough after a while, each at its own moment."""

from locust import task
from locust.exception import StopUser

from loadtest.users import RealtimeUser, on_schedule


class LeavingUser(RealtimeUser):
    wait_time = on_schedule()
    said = 0

    @task
    def send(self) -> None:
        self.said += 1
        if self.said > 8:
            raise StopUser
        self.send_message()
