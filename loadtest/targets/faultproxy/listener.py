"""Who answers at the public port: the proxy, or the kernel with a refusal?"""

import contextlib
import errno
import ipaddress
import socket

BACKLOG = 4096
_TRIES = 20


class ListenError(OSError):
    """The address cannot be had; `str` is one line that says why and what to do."""


class Listener:
    """A port that is ours from the start to the end, listening or not.

    Shut, it refuses: connections are answered with a reset by the kernel, and those that nobody had accepted
    yet are reset. The socket stays bound meanwhile. Were it closed, the port could be given to any outgoing
    connection of this machine, even to the one that comes to try it, which would then reach itself.
    """

    def __init__(self, host: str, port: int) -> None:
        """Binds, shut. `port` 0 takes a free one. Raises ListenError."""
        self.host = host
        self._family = socket.AF_INET
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host).version == 6:
                self._family = socket.AF_INET6
        self.socket = self._first(port)
        self.port: int = self.socket.getsockname()[1]
        self.is_open = True
        self.shut()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def open(self) -> None:
        """Listens on the same port again. Raises OSError."""
        if self.socket.fileno() < 0:
            self.socket = self._bound(self.port)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.listen(BACKLOG)
        self.is_open = True

    def shut(self) -> None:
        """Refuses from now on."""
        self.is_open = False
        try:
            # Linux: the end of listening, and nothing else.
            self.socket.shutdown(socket.SHUT_RDWR)
            # Without this another socket with SO_REUSEADDR could share the port.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            self.socket.close()

    def close(self) -> None:
        self.is_open = False
        self.socket.close()

    def _first(self, port: int) -> socket.socket:
        for _ in range(1 if port else _TRIES):
            try:
                return self._listening(port or self._free())
            except OSError as bad:
                if bad.errno != errno.EADDRINUSE:
                    raise ListenError(f"cannot listen on {self.host}: {bad}") from bad
        raise ListenError(
            f"port {port} on {self.host} is taken: stop the other server, or use --port 0 for a free one"
        )

    def _free(self) -> int:
        """A number that can be asked for: one that the kernel picks itself it takes back when the listening
        ends."""
        with socket.socket(self._family) as probe:
            probe.bind((self.host, 0))
            return int(probe.getsockname()[1])

    def _listening(self, port: int) -> socket.socket:
        """Listening, too, since only that tells whether somebody else does."""
        bound = self._bound(port)
        try:
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
        return bound

    def _bound(self, port: int) -> socket.socket:
        bound = socket.socket(self._family)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind((self.host, port))
        except OSError:
            bound.close()
            raise
        return bound
