"""With which secret do a load test and a server on the same machine sign their tokens?

The secret is public, so a server that can be reached from elsewhere refuses to start with it.
"""

DEVELOPMENT_SECRET = "loadtest-development-secret-never-off-loopback"
