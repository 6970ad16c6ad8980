"""How does a server behave that keeps the contract to the letter?

Nouns (conversations, membership, feeds, faults, ...) are pure: time is an argument, nothing is sent.
`messaging` combines them; `gateway` (Socket.IO) and `rest` (HTTP) are its two doors; `fanout` is the
only way out.
"""
