"""Reports on a run: for people, for CI systems, for mail and for KernelCI."""
