"""Can a run be watched while it is on, and do its numbers get out as it has them? The server's own figures too."""

from __future__ import annotations

import json
import urllib.request
from functools import partial
from typing import Any
from urllib.parse import urlencode

from e2e_running import PATIENCE_S, Locust, wait_until
from prometheus_client.parser import text_string_to_metric_families

from loadtest.measure import run as runs
from loadtest.measure.run import Run

CONSOLE = {
    "OTEL_METRICS_EXPORTER": "console",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
}
FORM = {"user_count": 8, "spawn_rate": 8, "rt_rate": "2/s", "rt_room_size": "4", "rt_warmup": "500ms"}


class Watching:
    """What somebody sees in Locust's web UI."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, form: dict[str, object] | None = None) -> str:
        data = None if form is None else urlencode(form).encode()
        with urllib.request.urlopen(self._url + path, data, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def there(self) -> bool:
        try:
            return bool(self.get("/realtime"))
        except OSError:
            return False

    def data(self) -> Any:
        return json.loads(self.get("/realtime/data"))

    def metric(self, name: str, operation: str = "message.deliver") -> float:
        families = text_string_to_metric_families(self.get("/metrics/realtime"))
        samples = [one for family in families for one in family.samples if one.name == name]
        return sum(one.value for one in samples if one.labels.get("operation", operation) == operation)

    def operation(self, name: str) -> dict[str, Any]:
        found = self.data()
        rows = [one for one in found.get("operations", ()) if one["operation"] == name]
        return rows[0] if rows else {"n": 0}


def _whole_runs(locust: Locust) -> list[Run]:
    found = [one for one in locust.out.glob("2*") if (one / runs.MANIFEST).is_file()]
    return [runs.read(one) for one in sorted(found, key=lambda one: one.stat().st_mtime)]


def _measured(watching: Watching, seen: list[str]) -> bool:
    """Whether the page knows a lot of a run that was not seen before."""
    run = watching.data()["run"]
    return run is not None and run["id"] not in seen and watching.operation("message.deliver")["n"] >= 60


def test_two_runs_are_watched_and_got_out(serve: Any, start_locust: Any, free_port: int) -> None:
    server = serve()
    locust = start_locust(
        *("--web-port", free_port, "--otel", "-H", server.url, "--rt-server-metrics", f"pid:{server.pid}"),
        env=CONSOLE,
    )
    watching = Watching(free_port)
    wait_until(lambda: watching.there() or locust.ended, "the web UI is there")
    assert watching.data()["run"] is None
    seen: list[str] = []
    for number in (1, 2):
        watching.get("/swarm", {**FORM, "host": server.url})
        wait_until(partial(_measured, watching, list(seen)), "messages flow, and the page knows")
        told = watching.data()
        seen.append(told["run"]["id"])
        assert told["connections"]["now"] == 8
        assert told["server"]["cpu_percent"] is not None and told["server"]["descriptors"] > 8
        assert any("message.deliver websocket" in one["series"] for one in told["seconds"])
        assert (
            60
            <= watching.metric("loadtest_latency_seconds_count")
            <= watching.operation("message.deliver")["n"]
        )
        if number == 2:
            server.end()
            wait_until(lambda: watching.data()["connections"]["lost"] == 8, "all connections are lost")
        watching.get("/stop", {})
        wait_until(lambda number=number: len(_whole_runs(locust)) == number, "the run is written")
        wait_until(lambda: watching.data()["ended"], "the page knows that it has ended")
    run, cut = _whole_runs(locust)
    assert [run.manifest.id, cut.manifest.id] == seen
    rows = [row for row in cut.series if row.operation == "message.deliver"]
    assert watching.operation("message.deliver")["n"] == sum(row.latency.n for row in rows)
    assert watching.metric("loadtest_lost_total") >= sum(row.lost for row in rows)
    assert run.manifest.parameters["server_metrics"].startswith(f"pid:{server.pid}: /proc")
    assert all(row.rss_bytes > 10_000_000 for row in run.server)
    assert any(row.cpu_percent > 0 for row in run.server)
    assert any("own figures have a gap" in note for note in cut.manifest.target["notes"])
    locust.end()
    assert '"loadtest.latency"' in locust.output and '"locust.client.duration"' in locust.output


def test_the_master_shows_what_its_workers_measure(serve: Any, start_locust: Any, free_port: int) -> None:
    server = serve()
    locust = start_locust("--web-port", free_port, "--processes", 2, "-H", server.url)
    watching = Watching(free_port)
    wait_until(lambda: watching.there() or locust.ended, "the web UI is there")
    wait_until(
        lambda: '"worker_count":2' in watching.get("/worker-count").replace(" ", ""), "both workers are"
    )
    watching.get("/swarm", {**FORM, "host": server.url})
    wait_until(partial(_measured, watching, []), "messages flow, and the page knows")
    told = watching.data()
    assert told["connections"]["now"] == 8
    watching.get("/stop", {})
    wait_until(lambda: watching.data()["ended"], "the run has ended")
    (run,) = _whole_runs(locust)
    delivered = sum(row.latency.n for row in run.series if row.operation == "message.deliver")
    assert watching.operation("message.deliver")["n"] == delivered
    assert watching.metric("loadtest_latency_seconds_count") == delivered
