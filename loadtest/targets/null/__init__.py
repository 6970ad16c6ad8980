"""The null server: what would a server come to that has nothing to do?

It lets everybody in, puts sockets into rooms and passes on what is said there: nothing is stored, nobody refused.
Engine, framing and loop are those of the reference server, so what lies between the two is the application's work.
"""
