"""A master with a web UI and workers: does a form with a wrong host cost more than another try?"""

from __future__ import annotations

import signal
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from e2e_running import HERE, wait_until

from loadtest.measure import run as runs


def asked(url: str, form: dict[str, object] | None = None) -> str:
    data = None if form is None else urlencode(form).encode()
    try:
        with urlopen(url, data=data, timeout=30) as answer:
            return str(answer.read().decode())
    except URLError:
        return ""


def test_a_form_that_no_worker_can_do_is_refused_and_the_next_one_runs(
    serve: Any, start_locust: Any, free_port: int
) -> None:
    server, ui = serve(), f"http://127.0.0.1:{free_port}"
    locust = start_locust("--web-port", free_port, "-f", HERE / "steady.py", "--processes", 2)
    form = {"user_count": 6, "spawn_rate": 6, "rt_rate": "4/s", "rt_room_size": "3", "rt_warmup": "500ms"}
    wait_until(
        lambda: locust.ended or (asked(ui) and locust.output.count("reported as ready") == 2), "it is up"
    )
    asked(f"{ui}/swarm", form | {"host": "http://127.0.0.1:9"})
    wait_until(lambda: "http://127.0.0.1:9: no server there" in locust.output, "it is said")
    wait_until(lambda: '"ready"' in asked(f"{ui}/stats/requests"), "nothing runs")
    asked(f"{ui}/swarm", form | {"host": server.url})
    wait_until(lambda: locust.ended or server.accepted() > 60, "messages flow")
    asked(f"{ui}/stop", {})
    wait_until(lambda: (locust.out / runs.LATEST).exists(), "the run is written")
    locust.signal(signal.SIGTERM)
    locust.wait()
    assert locust.output.count("no server there") == 1, "once, however many workers"
    manifest = locust.run().manifest
    assert [(one.name, one.final) for one in manifest.workers] == [("0", True), ("1", True)]
    assert (manifest.users, manifest.gaps, manifest.harness_errors) == (6, [], [])
