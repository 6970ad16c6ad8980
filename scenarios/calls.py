"""Calls: people ring each other; some answer, some decline, some do not hear it, some hang up before.

locust -f scenarios/calls.py --headless -u 100 -r 50 -t 60s
locust -f scenarios/calls.py --headless -u 100 -r 50 -t 60s --rt-devices 3
"""

from locust import task

from loadtest.users import CallingUser, defaults, on_schedule

# Two calls a minute each: at the rate of messages everybody would be on the phone.
defaults(rate="2/m")


class CallerUser(CallingUser):
    """Calls the others of its group, and is called; ``--rt-rate`` is how often it calls."""

    wait_time = on_schedule()

    @task
    def ring_somebody(self) -> None:
        """Dial; the rest is up to the two of them."""
        self.call_somebody()
