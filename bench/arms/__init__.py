"""The locustfiles that are compared, and the meter that both share."""
