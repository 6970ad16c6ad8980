"""Everything at once: people chat, call each other and ask for help; a tenth of them are operators.

locust -f scenarios/mixed.py --headless -u 100 -r 50 -t 60s
"""

from locust import task

from loadtest.users import CallingUser, OperatorUser, VisitorUser, on_schedule


class PersonUser(CallingUser, VisitorUser):
    """A member of a conversation, who calls and asks too; ``--rt-rate`` is how often it says something.

    A polling one asks all three feeds.
    """

    talks = True
    needs = ("calls", "live chat")
    wait_time = on_schedule(of="send")

    @task(30)
    def send(self) -> None:
        """Say something to the conversation."""
        self.send_message()

    @task(10)
    def write(self) -> None:
        """Start writing."""
        self.start_typing()

    @task(10)
    def read(self) -> None:
        """Read what came."""
        self.mark_read()

    @task(3)
    def ring_somebody(self) -> None:
        """Call another member."""
        self.call_somebody()

    @task(6)
    def get_help(self) -> None:
        """Ask an operator, write to it, or leave it."""
        self.ask_for_help()


class HelpingUser(OperatorUser):
    """Answers those who ask."""

    wait_time = on_schedule(rate="1/m")

    @task
    def take_a_break(self) -> None:
        """Whoever it was talking to is handed over."""
        self.step_out()
