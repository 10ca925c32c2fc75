"""Nightly runs: a plan's matrix is run, and compared with the runs before it."""
