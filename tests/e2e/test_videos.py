"""Videos: the catalogue, by registerVideo or by URL, and the video's room."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from chat_client import Person, Visitors, person
from graphql_client import REGISTER, GraphQL
from salon_processes import Salon


async def test_a_video_has_one_room_made_on_first_use(
    visitors: Visitors, graphql: GraphQL, admin: Person, ana: Person, bob: Person
) -> None:
    made = await graphql.run(REGISTER, admin, id=42, title="The Ravel quartet")
    assert made["registerVideo"]["id"] == 42
    by_video = await visitors.connect("/chat/ws/video/42", ana)
    joined = await by_video.expect("room_joined")
    by_slug = await visitors.join("video-42", bob)
    assert by_slug.joined["room_id"] == joined["room_id"]
    assert by_slug.joined["connection_count"] == 2
    room = await graphql.room(ana, slug="video-42")
    assert room is not None
    assert room["id"] == joined["room_id"]


async def test_an_unknown_video_is_4004_by_both_names(visitors: Visitors, ana: Person) -> None:
    await (await visitors.connect("/chat/ws/video/404404", ana)).refused("Not found", 4004)
    await (await visitors.connect("/chat/ws/room/video-404404", ana)).refused("Not found", 4004)


@pytest.mark.parametrize("video", ["0", "01", "abc", "-1", "1.5", str(2**53), "%20", "4%2F2"])
async def test_a_malformed_video_id_is_4004(visitors: Visitors, ana: Person, video: str) -> None:
    await (await visitors.connect(f"/chat/ws/video/{video}", ana)).refused("Not found", 4004)


async def test_registering_videos_is_for_admins(graphql: GraphQL, ana: Person, moderator: Person) -> None:
    assert await graphql.refusal(REGISTER, ana, id=43, title="x") == "FORBIDDEN"
    assert await graphql.refusal(REGISTER, moderator, id=43, title="x") == "FORBIDDEN"
    assert await graphql.refusal(REGISTER, None, id=43, title="x") == "UNAUTHENTICATED"


async def test_nobody_else_may_take_a_videos_slug(graphql: GraphQL, ana: Person) -> None:
    create = 'mutation { createChatRoom(name: "x", slug: "video-9") { id } }'
    assert await graphql.refusal(create, ana) in ("INVALID", "CONFLICT")


class _Catalogue(BaseHTTPRequestHandler):
    """Knows video 7; stumbles over video 500."""

    def do_GET(self) -> None:
        self.send_response({"/videos/7": 200, "/videos/500": 500}.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def catalogue() -> Iterator[str]:
    """A video catalogue by URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Catalogue)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/videos/{{video_id}}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_the_catalogue_by_url_200_exists_404_does_not_anything_else_is_unavailable(
    start_salon: Callable[..., Salon], catalogue: str
) -> None:
    own = start_salon(ROOMS_VIDEO_CATALOG_URL=catalogue)
    visitors = Visitors(own.edges[0].ws)
    known = await visitors.connect("/chat/ws/video/7", person("viewer"))
    await known.expect("room_joined")
    await (await visitors.connect("/chat/ws/video/8", person("viewer"))).refused("Not found", 4004)
    await (await visitors.connect("/chat/ws/video/500", person("viewer"))).refused("Service unavailable", 1013)
    await visitors.close()
    own.stop()
