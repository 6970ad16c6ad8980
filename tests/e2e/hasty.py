"""Calls that people give up, decline and answer at the same moment: a call ends once, whatever they ask for."""

from locust import task

from loadtest.users import CallingUser, on_schedule


class HastyUser(CallingUser):
    answers = 0.4
    declines = 0.4
    waits_on = 0.0
    thinks = (0.0, 3.0)
    patience = (0.5, 4.0)
    talks_for = (0.0, 2.0)
    wait_time = on_schedule()

    @task
    def ring(self) -> None:
        self.call_somebody()
