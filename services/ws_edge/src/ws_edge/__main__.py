"""python -m ws_edge"""

import sys
from contextlib import ExitStack
from functools import partial
from tempfile import TemporaryDirectory

import structlog
import uvloop

from chassis.errors import BadSetting, CannotListen
from chassis.logs import configure_logging
from chassis.metrics import forget_gauges, shared_registry, sharing_environment
from chassis.process import raise_open_files_limit, serve_until_signal
from ws_edge import bootstrap
from ws_edge.config import Config, load
from ws_edge.process.processes import WORKER_FLAG, end_with_parent, run_workers

_log = structlog.get_logger("ws_edge")


def _is_worker() -> bool:
    """One of several processes, started by the one that an operator started."""
    return WORKER_FLAG in sys.argv[1:]


def _serve(config: Config) -> int:
    """This process and, where several workers are wanted, those that it starts."""
    raise_open_files_limit()
    if _is_worker():
        end_with_parent()
    elif config.workers > 1:
        with bootstrap.claimed_port(config) as port:
            return _serve_workers(config, port)
    sock = bootstrap.bind(config, is_shared=config.workers > 1)
    service = bootstrap.serving(config, sock, answers_scrapes=not _is_worker())
    uvloop.run(serve_until_signal(service, started=partial(bootstrap.log_listening, config)))
    return 0


def _serve_workers(config: Config, port: int) -> int:
    """The workers, which share the port, and whose numbers meet in a folder."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="salon-metrics-"))
        stack.enter_context(bootstrap.metrics_port(config, shared_registry(folder)))
        return run_workers(
            config.workers,
            config.drain_seconds,
            environment=bootstrap.environment() | {"WS_EDGE_PORT": str(port)} | sharing_environment(folder),
            ended=lambda pid: forget_gauges(pid, folder),
        )


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 then, 2 for a setting that cannot be used, 1 where the port cannot be had, or
    for a defect, which is logged."""
    try:
        config = load(bootstrap.environment())
        bootstrap.demand_usable_keys(config)
    except BadSetting as problem:
        sys.stderr.write(f"ws_edge: {problem}\n")
        return 2
    configure_logging("ws_edge")
    try:
        return _serve(config)
    except CannotListen as problem:
        sys.stderr.write(f"ws_edge: {problem}\n")
    except Exception:  # noqa: BLE001 - the last line of the log says what it was
        _log.exception("ended_by_a_defect")
    return 1


if __name__ == "__main__":
    sys.exit(main())
