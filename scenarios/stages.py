"""Stages: the load goes up and down in steps, and every step has figures of its own.

locust -f scenarios/stages.py --headless
locust -f scenarios/stages.py --headless -r 50 --rt-stages 2m:100,2m:300,1m:100
locust -f scenarios/stages.py --headless -u 500 -r 50 --rt-stages 2m:50%,2m:100%

Other scenarios follow ``--rt-stages`` as well, where nobody calls or asks for help.
"""

from locust import task

from loadtest.users import RealtimeUser, defaults, on_schedule

# -r is one user a second where nobody says more.
defaults(stages="40s:10,40s:20,40s:10")


class StagedUser(RealtimeUser):
    """A member of one conversation at a time; ``--rt-rate`` is how often it says something."""

    wait_time = on_schedule(of="send")

    @task(12)
    def send(self) -> None:
        """Say something."""
        self.send_message()

    @task(4)
    def write(self) -> None:
        """Start writing."""
        self.start_typing()

    @task(4)
    def read(self) -> None:
        """Read what came."""
        self.mark_read()
