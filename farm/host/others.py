"""Other users of this host. Imports nothing: every command begins with it."""

import os


def forbid_others_to_write() -> None:
    """Nothing that the farm makes may be changed by other users, whatever the caller's umask; a stricter one stays."""
    os.umask(os.umask(0o077) | 0o022)
