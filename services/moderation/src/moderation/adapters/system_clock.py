"""The clocks of this machine."""

import time

from moderation.domain.admission import Now


class SystemClock:
    """The port Clock."""

    def now(self) -> Now:
        """Nanoseconds that never jump, and Unix milliseconds."""
        return Now(time.monotonic_ns(), time.time_ns() // 1_000_000)
