"""python -m ws_edge"""

import asyncio
import signal
import sys

import structlog
import uvloop

from ws_edge import bootstrap
from ws_edge.config import BadSetting, Config, load
from ws_edge.telemetry import configure_logging
from ws_edge.workers import WORKER_FLAG, end_with_parent, run_workers

_log = structlog.get_logger("ws_edge")


async def _run(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sock = bootstrap.bind(config)
    port = sock.getsockname()[1]
    edge = bootstrap.build(config)
    await edge.run(sock, stop=stop, started=lambda: _log.info("listening", host=config.host, port=port))


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 then, 2 for a setting that cannot be used, 1 where the port cannot be had."""
    try:
        config = load(bootstrap.environment())
    except BadSetting as problem:
        sys.stderr.write(f"ws_edge: {problem}\n")
        return 2
    configure_logging("ws_edge")
    if WORKER_FLAG in sys.argv[1:]:
        end_with_parent()
    elif config.workers > 1:
        return run_workers(config.workers, config.drain_seconds)
    try:
        uvloop.run(_run(config))
    except OSError as problem:
        sys.stderr.write(f"ws_edge: cannot listen on {config.host}:{config.port}: {problem.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
