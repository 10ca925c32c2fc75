"""Reproducing: a run as an archive that travels, and back into a run on another machine."""
