"""The operator's own catalogue of videos: 200, 404, and anything else."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from rooms.adapters import video_api
from rooms.adapters.video_api import VideoApi


def api(status: int | None) -> tuple[VideoApi, list[str]]:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if status is None:
            raise httpx.ConnectError("away")
        return httpx.Response(status)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return VideoApi("https://example.org/videos/{video_id}", client), asked


@pytest.mark.parametrize(("status", "exists"), [(200, True), (404, False), (500, None), (302, None), (None, None)])
async def test_200_means_it_exists_404_that_it_does_not_anything_else_is_unavailable(
    status: int | None, exists: bool | None
) -> None:
    catalogue, asked = api(status)
    assert await catalogue.existing(frozenset({42})) == {42: exists}
    assert asked == ["https://example.org/videos/42"]
    await catalogue.close()


async def test_an_answer_is_remembered_but_not_an_outage() -> None:
    known, asked = api(200)
    away, tried = api(503)
    for _ in range(2):
        await known.existing(frozenset({1}))
        await away.existing(frozenset({1}))
    assert (len(asked), len(tried)) == (1, 2)
    await known.close()
    await away.close()


async def test_what_follows_the_status_is_not_read_however_large_it_is() -> None:
    read: list[int] = []

    async def film() -> AsyncIterator[bytes]:
        for _ in range(1000):
            read.append(1)
            yield b"x" * 100_000

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=film()))
    catalogue = VideoApi("https://example.org/videos/{video_id}", httpx.AsyncClient(transport=transport))
    assert await catalogue.existing(frozenset({42})) == {42: True}
    assert read == []
    await catalogue.close()


async def test_an_answer_that_is_small_is_read_so_that_its_connection_stays_open() -> None:
    answers: list[httpx.Response] = []

    def answer(_: httpx.Request) -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            yield b'{"id": 42}'

        answers.append(httpx.Response(200, headers={"Content-Length": "10"}, content=body()))
        return answers[-1]

    transport = httpx.MockTransport(answer)
    catalogue = VideoApi("https://example.org/videos/{video_id}", httpx.AsyncClient(transport=transport))
    assert await catalogue.existing(frozenset({42})) == {42: True}
    assert answers[0].is_stream_consumed
    await catalogue.close()


class SlowCatalogue:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked: list[str] = []
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        self.api = VideoApi("https://example.org/videos/{video_id}", client)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path.rpartition("/")[2])
        await self.may_answer.wait()
        return httpx.Response(200)


async def test_a_catalogue_that_does_not_answer_holds_a_batch_up_for_a_bounded_time_however_many_its_videos(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(video_api, "WAIT_S", 0.1)
    monkeypatch.setattr(video_api, "WAITING", 200)
    slow = SlowCatalogue()
    began = time.monotonic()
    assert await slow.api.existing(frozenset(range(1, 301))) == dict.fromkeys(range(1, 301))
    assert time.monotonic() - began < 5  # one after the other would take 20 s
    assert len(slow.asked) == video_api.AT_ONCE
    monkeypatch.setattr(video_api, "WAIT_S", 5)
    slow.may_answer.set()
    assert set((await slow.api.existing(frozenset(range(1, 301)))).values()) == {True, None}
    assert len(slow.asked) == 200
    await slow.api.close()


async def test_who_comes_again_does_not_wait_again_and_finds_the_answer_that_came_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(video_api, "WAIT_S", 0.05)
    slow = SlowCatalogue()
    assert await slow.api.existing(frozenset({42})) == {42: None}
    monkeypatch.setattr(video_api, "WAIT_S", 0)
    assert await slow.api.existing(frozenset({42})) == {42: None}
    monkeypatch.setattr(video_api, "WAIT_S", 5)
    slow.may_answer.set()
    assert await slow.api.existing(frozenset({42})) == {42: True}
    assert slow.asked == ["42"]
    await slow.api.close()


async def test_a_look_up_ends_at_its_deadline_and_the_next_join_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_api, "DEADLINE_S", 0.05)
    slow = SlowCatalogue()
    assert await slow.api.existing(frozenset({42})) == {42: None}
    slow.may_answer.set()
    assert await slow.api.existing(frozenset({42})) == {42: True}
    assert slow.asked == ["42", "42"]
    await slow.api.close()
