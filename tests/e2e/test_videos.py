"""Videos: the catalogue, by registerVideo or by URL, and the video's room."""

import pytest
from chat_client import Person, Visitors
from graphql_client import REGISTER, GraphQL


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


async def test_the_catalogue_by_url_200_exists_404_does_not_anything_else_is_unavailable(
    choosy_visitors: Visitors, ana: Person
) -> None:
    known = await choosy_visitors.connect("/chat/ws/video/7", ana)
    await known.expect("room_joined")
    await (await choosy_visitors.connect("/chat/ws/video/8", ana)).refused("Not found", 4004)
    await (await choosy_visitors.connect("/chat/ws/video/500", ana)).refused("Service unavailable", 1013)
