"""The Videos port on the operator's own catalogue: 200 means that a video exists, 404 that it does not."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping

import httpx
import structlog

_log = structlog.get_logger()
WAIT_S = 1.0
"""How long a batch of joins waits for the catalogue, counted for each video from when its look-up began."""
DEADLINE_S = 3.0
"""How long a look-up goes on, so that who comes again finds its answer."""
AT_ONCE = 64
WAITING = 2000
"""Look-ups, those that wait for their turn included."""
_REMEMBERED = 10_000
_SMALL_BYTES = 64 * 1024
_KNOWN_FOR_S = 60.0
_UNKNOWN_FOR_S = 5.0


class VideoApi:
    """Asks by HTTP, about many videos at once but about each one once at a time, and remembers the answer for a
    minute, that of a missing video for 5 s. End with `close`."""

    def __init__(self, template: str, client: httpx.AsyncClient | None = None) -> None:
        self._template = template
        self._client = client or httpx.AsyncClient(timeout=DEADLINE_S, follow_redirects=False)
        self._answers: OrderedDict[int, tuple[bool, float]] = OrderedDict()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[int, tuple[asyncio.Task[bool | None], float]] = {}

    async def existing(self, video_ids: frozenset[int]) -> Mapping[int, bool | None]:
        """Whether each video exists; None: the catalogue did not answer in time, said something else, or is asked
        about too many others already."""
        found = await asyncio.gather(*(self._exists(video_id) for video_id in video_ids))
        return dict(zip(video_ids, found, strict=True))

    async def close(self) -> None:
        """End the look-ups and drop the connections."""
        tasks = [task for task, _ in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _exists(self, video_id: int) -> bool | None:
        known = self._answers.get(video_id)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        if video_id not in self._under_way:
            if len(self._under_way) >= WAITING:
                return None
            self._begin(video_id)
        task, began = self._under_way[video_id]
        done, _ = await asyncio.wait({task}, timeout=max(0, began + WAIT_S - time.monotonic()))
        return task.result() if done and not task.cancelled() else None

    def _begin(self, video_id: int) -> None:
        task = asyncio.create_task(self._look_up(video_id))
        self._under_way[video_id] = (task, time.monotonic())
        task.add_done_callback(lambda _: self._under_way.pop(video_id))

    async def _look_up(self, video_id: int) -> bool | None:
        try:
            status = await self._status(self._template.replace("{video_id}", str(video_id)))
        except (httpx.HTTPError, TimeoutError) as problem:
            _log.warning("video_catalogue_away", video_id=video_id, reason=type(problem).__name__)
            return None
        if status not in (200, 404):
            _log.warning("video_catalogue_away", video_id=video_id, status=status)
            return None
        return self._remember(video_id, status == 200)

    async def _status(self, url: str) -> int:
        """What follows the status is of no interest, and may be as large as the video. Where it is small it is read
        nevertheless, since the connection then serves the next look-up too."""
        async with asyncio.timeout(DEADLINE_S), self._slots, self._client.stream("GET", url) as answer:
            length = answer.headers.get("content-length", "")
            if length.isdecimal() and int(length) <= _SMALL_BYTES:
                await answer.aread()
            return answer.status_code

    def _remember(self, video_id: int, exists: bool) -> bool:
        until = time.monotonic() + (_KNOWN_FOR_S if exists else _UNKNOWN_FOR_S)
        self._answers[video_id] = (exists, until)
        self._answers.move_to_end(video_id)
        while len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return exists
