"""A live chat whose operators come and go all the time: what is said there is often under way to somebody else."""

from locust import task

from loadtest.users import OperatorUser, VisitorUser, on_schedule


class AskingUser(VisitorUser):
    wait_time = on_schedule()

    @task
    def go_on(self) -> None:
        self.ask_for_help()


class HelpingUser(OperatorUser):
    capacity = 3
    thinks = (0.0, 0.3)
    pause = (0.5, 2.0)
    wait_time = on_schedule(rate="20/m")

    @task
    def take_a_break(self) -> None:
        self.step_out()
