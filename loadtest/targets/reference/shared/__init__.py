"""How do several instances behave as one server?

They write everything that happens into one log, a Redis Stream, and each of them reads it and does the same
things in the same order to a copy of its own: the state itself is never in Redis, and nothing in it waits. Only
the instance that was asked answers; each one delivers to the sockets that it has.
"""


class SharedStateError(Exception):
    """What the instances share cannot be reached, or is of no use; the message says why and what to do."""
