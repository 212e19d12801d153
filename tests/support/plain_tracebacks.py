"""What tests log has tracebacks in plain text: structlog's own pretty ones, with all variables, take seconds each on a
busy machine, which is what a test that waits for the next turn of a loop has not."""

import structlog

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
