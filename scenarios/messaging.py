"""Conversations: people write, show that they write, read, and now and then change the conversation.

locust -f scenarios/messaging.py --headless -u 200 -r 50 -t 60s
"""

from locust import task

from loadtest.users import RealtimeUser, on_schedule


class MessagingUser(RealtimeUser):
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

    @task(1)
    def switch(self) -> None:
        """Leave this conversation for another."""
        self.switch_room()
