"""Our client against Locust's own, and what our own parts cost: numbers to compare within one session."""
