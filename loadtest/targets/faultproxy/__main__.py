"""`python -m loadtest.targets.faultproxy`: how do I get faults in front of a server that runs already?"""

import argparse
import sys
from collections.abc import Sequence

from loadtest.targets.faultproxy import control
from loadtest.targets.faultproxy.link import Upstream
from loadtest.targets.faultproxy.listener import Listener, ListenError
from loadtest.targets.faultproxy.run import run

_NAME = "faultproxy"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until a signal; returns the exit code. `arguments`: those of the command line."""
    given = _arguments(arguments)
    host, port = given.upstream
    try:
        upstream = Upstream.of(host, port)
    except OSError as bad:
        return _failed(f"there is no address for {host}: {bad.strerror or bad}")
    try:
        listener = Listener("127.0.0.1", given.port)
    except ListenError as bad:
        return _failed(str(bad))
    try:
        controls = control.listen(given.control_port)
    except OSError as bad:
        listener.close()
        return _failed(
            f"control port {given.control_port}: {bad.strerror or bad}: use another, or 0 for a free one"
        )

    def ready() -> None:
        print(f"listening on {listener.url}")
        print(f"fault control: {control.url(controls)}", flush=True)

    return run(listener, controls, upstream, ready, _NAME)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.targets.faultproxy",
        description="A TCP proxy on 127.0.0.1 that does faults on order, in front of a server that runs already.",
    )
    parser.add_argument(
        "--upstream", type=_host_and_port, required=True, metavar="HOST:PORT", help="the server behind it"
    )
    parser.add_argument("--port", type=_port, default=0, help="where clients come; 0 picks a free one (0)")
    parser.add_argument(
        "--control-port", type=_port, default=0, help="where orders come; 0 picks a free one (0)"
    )
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} must be a whole number from 0 to 65535")


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} must be HOST:PORT, such as 127.0.0.1:3000")
    return host, int(port)


def _failed(line: str) -> int:
    print(f"{_NAME}: {line}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
