"""How does a server behave that keeps the contract to the letter?

Nouns (conversations, calls, presence, feeds, faults, ...) are pure: time is an argument, nothing is sent.
Domains (`messaging`, `calling`, `presence_watch`, ...) combine them; `gateway` (Socket.IO) and `rest`
(HTTP) are their two doors; `fanout` is the only way out.
"""
