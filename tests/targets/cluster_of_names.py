"""A cluster of servers that say their names, for tests: ``python cluster_of_names.py '{"names": ["a", "b"]}'``.

Keys beside: sticky, tls, broken (names that do not start), blind (its certificate is gone). Says in one line of
JSON what runs, once it does.
"""

from __future__ import annotations

import http.server
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from loadtest.targets.cluster import needed
from loadtest.targets.cluster.certificate import issue
from loadtest.targets.cluster.run import Plan, Running, run


class Names(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        said = {"name": os.environ["NAME"], "cookie": self.headers.get("Cookie", "")}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing of it."""


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A check that hangs up is no news."""


def serve() -> None:
    """One instance."""
    if os.environ["NAME"] in json.loads(os.environ["BROKEN"]):
        sys.exit(3)
    server = Quiet(("127.0.0.1", 0), Names)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def main(
    names: list[str], sticky: bool = True, tls: bool = False, blind: bool = False, broken: Any = ()
) -> int:
    """All of them."""
    listener = socket.create_server(("127.0.0.1", 0))
    with tempfile.TemporaryDirectory() as folder:
        certificate = issue(Path(folder), "127.0.0.1") if tls else None
        if certificate and blind:
            certificate.server.unlink()

        def ready(running: list[Running], proxy: int) -> None:
            url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
            authority = certificate and str(certificate.authority)
            told = {"url": url, "authority": authority, "proxy": proxy}
            print(json.dumps({**told, "pids": {one.name: one.pid for one in running}}), flush=True)

        environment = {**os.environ, "BROKEN": json.dumps(broken)}
        plan = Plan(
            [sys.executable, __file__],
            {name: {**environment, "NAME": name} for name in names},
            needed.haproxy(),
            listener,
            sticky,
            certificate,
            45.0,
            Path(folder),
        )
        return run(plan, ready, "cluster")


if __name__ == "__main__":
    if "NAME" in os.environ:
        serve()
    else:
        sys.exit(main(**json.loads(sys.argv[1])))
