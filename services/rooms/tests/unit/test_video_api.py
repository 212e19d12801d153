"""The operator's own catalogue of videos: 200, 404, and anything else."""

import httpx
import pytest

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
