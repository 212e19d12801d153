"""What may happen thousands of times a second is told in a line now and then."""

import asyncio
from typing import Any

from structlog.typing import FilteringBoundLogger

INTERVAL_S = 5.0


class LogSummary:
    """Logs the first time at once, and from then on how often it happened in every interval in which it did."""

    def __init__(self, log: FilteringBoundLogger, event: str) -> None:
        self._log = log
        self._event = event
        self._count = 0
        self._fields: dict[str, Any] = {}
        self._is_waiting = False

    def note(self, **fields: Any) -> None:
        """It happened once more; of the fields, the last ones are shown. Needs a running event loop."""
        self._count += 1
        self._fields = fields
        if not self._is_waiting:
            self._tell()

    def _tell(self) -> None:
        self._is_waiting = self._count > 0
        if self._is_waiting:
            self._log.warning(self._event, count=self._count, **self._fields)
            self._count = 0
            asyncio.get_running_loop().call_later(INTERVAL_S, self._tell)
