"""Only messages: people say things and do nothing else, so that what flows is what messages cost.

locust -f scenarios/bandwidth.py SayingUser --headless -u 40 -r 40 -t 60s --rt-transport interval-polling
"""

from locust import task

from loadtest.users import CallingUser, RealtimeUser, VisitorUser, on_schedule


class SayingUser(RealtimeUser):
    """A member of one conversation; ``--rt-rate`` is how often it says something. A polling one asks one feed."""

    wait_time = on_schedule()

    @task
    def say(self) -> None:
        """Say something."""
        self.send_message()


class ThreeFeedsUser(SayingUser):
    """The same, in an application that also has calls and live chats: a polling one asks three feeds."""

    needs = ("calls", "live chat")
    hears = CallingUser.hears + VisitorUser.hears
