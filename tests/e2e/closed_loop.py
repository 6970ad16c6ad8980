"""What most tools do, as a control: ask, wait for the answer, pace by it; and forget what was not asked."""

from time import perf_counter

from locust import constant_pacing, task

from loadtest.users import RealtimeUser


class ClosedLoopUser(RealtimeUser):
    wait_time = constant_pacing(0.1)
    asked = 0

    @task
    def ask(self) -> None:
        if self.room is None:
            return
        begun = perf_counter()
        self.asked += 1
        variables = {"room": self.room.name, "marker": f"{self.member.name}:{self.asked}", "body": "control"}
        self.link.perform(self.live.contract.send, variables)
        self.environment.events.request.fire(
            request_type="CTL",
            name="closed loop",
            response_time=(perf_counter() - begun) * 1000,
            response_length=0,
            exception=None,
            context={},
        )
