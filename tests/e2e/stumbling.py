"""A scenario with bugs: of four users one stumbles before it is in, and one right after."""

import itertools

from locust import task

from loadtest.users import RealtimeUser, on_schedule

_numbers = itertools.count()


class StumblingUser(RealtimeUser):
    wait_time = on_schedule()

    def on_start(self) -> None:
        number = next(_numbers) % 4
        if number == 3:
            raise ZeroDivisionError("a bug of the scenario")
        super().on_start()
        if number == 1:
            print("stumbled inside", flush=True)
            raise ZeroDivisionError("another bug of the scenario")

    @task
    def send(self) -> None:
        self.send_message()
