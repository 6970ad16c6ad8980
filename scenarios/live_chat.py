"""Live chat: visitors ask for help, operators answer; now and then one steps out and hands over.

locust -f scenarios/live_chat.py --headless -u 100 -r 50 -t 60s
locust -f scenarios/live_chat.py --headless -u 100 -r 50 -t 60s --rt-operators 5
"""

from locust import task

from loadtest.users import OperatorUser, VisitorUser, on_schedule


class AskingUser(VisitorUser):
    """Asks, writes a few messages, leaves; ``--rt-rate`` is how often it does the next of these."""

    wait_time = on_schedule()

    @task
    def go_on(self) -> None:
        """The next thing a visitor does."""
        self.ask_for_help()


class HelpingUser(OperatorUser):
    """Answers, and steps out once a minute; ``--rt-operators`` is how many of the users are these."""

    wait_time = on_schedule(rate="1/m")

    @task
    def take_a_break(self) -> None:
        """Whoever it was talking to is handed over."""
        self.step_out()
