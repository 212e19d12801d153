"""Runs one replica of moderation until SIGTERM or SIGINT: python -m moderation."""

import sys

import uvloop

from chassis.errors import BadSetting
from chassis.logs import configure_logging
from chassis.process import serve_until_signal
from moderation.bootstrap import serving
from moderation.config import load_process
from moderation.errors import StartFailed
from moderation.telemetry import Metrics

EXIT_BAD_SETTING = 2


def main() -> int:
    """The exit code of the process: 0 after a signal, 1 where it cannot run, 2 where a setting is bad."""
    try:
        config = load_process()
    except BadSetting as problem:
        sys.stderr.write(f"moderation: {problem}\n")
        return EXIT_BAD_SETTING
    configure_logging("moderation")
    try:
        uvloop.run(serve_until_signal(serving(config, metrics=Metrics())))
    except StartFailed as problem:
        sys.stderr.write(f"moderation: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
