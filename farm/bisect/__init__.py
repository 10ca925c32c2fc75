"""Bisection: git names the revisions, the farm builds, runs and judges them, statistics say how sure the answer is."""
