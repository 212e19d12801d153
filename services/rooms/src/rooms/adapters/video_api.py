"""The Videos port on the operator's own catalogue: 200 means that a video exists, 404 that it does not."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping

import httpx
import structlog

_log = structlog.get_logger()
_DEADLINE_S = 3.0
_REMEMBERED = 10_000
_KNOWN_FOR_S = 60.0
_UNKNOWN_FOR_S = 5.0
_AT_ONCE = 16


class VideoApi:
    """Asks by HTTP, and remembers the answer for a minute, that of a missing video for 5 s."""

    def __init__(self, template: str, client: httpx.AsyncClient | None = None) -> None:
        self._template = template
        self._client = client or httpx.AsyncClient(timeout=_DEADLINE_S, follow_redirects=False)
        self._answers: OrderedDict[int, tuple[bool, float]] = OrderedDict()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def existing(self, video_ids: frozenset[int]) -> Mapping[int, bool | None]:
        """Whether each video exists; None: the catalogue did not answer within 3 s, or said something else."""
        found = await asyncio.gather(*(self._exists(video_id) for video_id in video_ids))
        return dict(zip(video_ids, found, strict=True))

    async def close(self) -> None:
        """Drop the connections."""
        await self._client.aclose()

    async def _exists(self, video_id: int) -> bool | None:
        known = self._answers.get(video_id)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        try:
            async with asyncio.timeout(_DEADLINE_S), self._slots:
                answer = await self._client.get(self._template.replace("{video_id}", str(video_id)))
        except (httpx.HTTPError, TimeoutError) as problem:
            _log.warning("video_catalogue_away", video_id=video_id, reason=type(problem).__name__)
            return None
        if answer.status_code not in (200, 404):
            _log.warning("video_catalogue_away", video_id=video_id, status=answer.status_code)
            return None
        return self._remember(video_id, answer.status_code == 200)

    def _remember(self, video_id: int, exists: bool) -> bool:
        until = time.monotonic() + (_KNOWN_FOR_S if exists else _UNKNOWN_FOR_S)
        self._answers[video_id] = (exists, until)
        self._answers.move_to_end(video_id)
        while len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return exists
