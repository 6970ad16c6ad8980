"""Arithmetic of measuring: nothing here owns a clock, a socket or (but for run.py) a file."""
