"""realtime-loadtest: tells the truth about a Socket.IO realtime server."""

__version__ = "0.1.0"
