"""python -m rooms: read the settings, then serve until a signal."""

import os
import sys

import uvloop

from chassis.errors import BadSetting, ServiceError
from chassis.logs import configure_logging
from rooms.bootstrap import run
from rooms.config import load


def main() -> int:
    """The exit code: 0 after a signal, 1 when it cannot serve, 2 for a bad setting."""
    try:
        config = load(os.environ)  # noqa: TID251 - handed to config.py, which reads it
        configure_logging("rooms")
        uvloop.run(run(config))
    except BadSetting as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    except ServiceError as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
