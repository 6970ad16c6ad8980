"""Runs -> numbers -> verdicts: arithmetic on what was written, without drawing, files or clocks."""
