"""What does a bad network do to a server and its clients?

A TCP proxy that stands in front of any server and, on orders over HTTP, swallows, delays, slows, refuses, or
starts the server anew. While nothing is ordered it is transparent: bytes, half-closes and resets pass as
they came.

`orders`, `choice` and `bucket` are pure. `poller`, `timers` and `listener` are what it stands on; `pipe` is
one direction of a connection, `link` a connection, `strikes` the faults under way, `proxy` all of them;
`keeper` owns the server behind it, `control` takes the orders, `run` is the life of the process.
"""
