"""How many connections this process may hold: each is an open file."""

import resource
from contextlib import suppress


def raise_limit() -> None:
    """Open as many files as the system allows. Shells and service managers start programs with a soft limit of 1,024,
    at which an edge would stop accepting; the hard limit is what the operator meant."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS takes no unlimited number of files
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
