"""The life of a room: appears with the first, gone with the last, numbers of lives, created and restricted rooms."""

from chat_client import Client, Person, Visitors, of_type, person
from graphql_client import CREATE, DELETE, INVITE, GraphQL


async def test_a_room_is_deleted_when_its_last_connection_leaves(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    first, second = await visitors.join(room, ana), await visitors.join(room, bob)
    await first.leave()
    await second.wait_for("user_left")
    assert await graphql.room(slug=room) is not None
    await second.leave()
    await graphql.gone(room)


async def test_a_room_is_deleted_when_its_last_connection_vanishes(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person
) -> None:
    (await visitors.join(room, ana)).vanish()
    await graphql.gone(room)


async def test_a_room_that_lives_again_shows_nothing_of_its_earlier_life(
    visitors: Visitors, graphql: GraphQL, ana: Person
) -> None:
    first = await visitors.join(77_001, ana)
    said = await first.say("in the first life")
    await first.leave()
    await graphql.gone("77001")
    again = await visitors.join(77_001, ana)
    assert again.joined["room_id"] == 77_001
    assert again.joined["connection_count"] == 1
    message = await again.say("in the second life")
    assert message["id"] > said["id"]
    assert message.get("prev_id", 0) == 0
    assert [data["message"] for data in of_type(again.seen, "chat_message")] == ["in the second life"]


async def test_nonces_belong_to_a_life(visitors: Visitors, graphql: GraphQL, room: str, ana: Person) -> None:
    first = await visitors.join(room, ana)
    said = await first.say("once", nonce="n-1")
    await first.leave()
    await graphql.gone(room)
    again = await visitors.join(room, ana)
    assert (await again.say("twice", nonce="n-1"))["id"] > said["id"]


async def test_a_room_made_through_graphql_is_kept_until_its_first_visitor_left(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    made = await graphql.create("Salon de thé", ana, slug=room)
    assert (await graphql.room(bob, slug=room) or {})["id"] == made["id"]
    visitor = await visitors.join(room, bob)
    assert visitor.joined["room_id"] == made["id"]
    await visitor.leave()
    await graphql.gone(room)


async def test_a_restricted_room_keeps_its_settings_creator_and_invitations_over_its_death(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    made = await graphql.create("Private", ana, slug=room, isPublic=False)
    await graphql.run(INVITE, ana, slug=room, userId=bob.user_id)
    creator = await visitors.join(room, ana)
    assert creator.joined["room_id"] == made["id"]
    await creator.leave()
    await graphql.gone(room)
    stranger = await visitors.connect(f"/chat/ws/room/{room}", person("stranger"))
    await stranger.refused("Access denied", 4003)
    nobody = await visitors.connect(f"/chat/ws/room/{room}")
    await nobody.refused("Access denied", 4003)
    invited = await visitors.join(room, bob)
    assert invited.joined["connection_count"] == 1
    stranger = await visitors.connect(f"/chat/ws/room/{made['id']}", person("stranger"))
    await stranger.refused("Access denied", 4003)


async def test_a_restricted_room_that_takes_no_anonymous_users_refuses_them_also_after_its_death(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    await graphql.create("Named people", ana, slug=room, allowAnonymous=False)
    await (await visitors.connect(f"/chat/ws/room/{room}")).refused("Access denied", 4003)
    await (await visitors.join(room, bob)).leave()
    await graphql.gone(room)
    await (await visitors.connect(f"/chat/ws/room/{room}")).refused("Access denied", 4003)
    await visitors.join(room, bob)


async def test_a_private_room_lets_admins_in_and_revoked_invitations_not(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person, admin: Person, moderator: Person
) -> None:
    await graphql.create("Private", ana, slug=room, isPublic=False)
    await graphql.run(INVITE, admin, slug=room, userId=bob.user_id)
    await (await visitors.join(room, bob)).leave()
    revoke = "mutation($slug: String!, $userId: SafeInt!) { revokeInvitation(slug: $slug, userId: $userId) }"
    assert await graphql.run(revoke, ana, slug=room, userId=bob.user_id) == {"revokeInvitation": True}
    await (await visitors.connect(f"/chat/ws/room/{room}", bob)).refused("Access denied", 4003)
    await (await visitors.connect(f"/chat/ws/room/{room}", moderator)).refused("Access denied", 4003)
    await visitors.join(room, admin)


async def test_delete_chat_room_closes_those_inside_with_4004_and_forgets_the_slugs_settings(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    made = await graphql.create("Short-lived", ana, slug=room, isPublic=False)
    inside = await visitors.join(room, ana)
    assert await graphql.refusal(DELETE, bob, id=made["id"]) in ("FORBIDDEN", "NOT_FOUND")
    assert await graphql.run(DELETE, ana, id=made["id"]) == {"deleteChatRoom": True}
    assert await inside.closed() == 4004
    await visitors.join(room, bob)


async def test_create_chat_room_on_a_slug_kept_by_somebody_else_is_a_conflict(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    await graphql.create("Ana's", ana, slug=room, isPublic=False)
    await (await visitors.join(room, ana)).leave()
    await graphql.gone(room)
    assert await graphql.refusal(CREATE, bob, name="Bob's", slug=room) == "CONFLICT"


async def _count(client: Client, graphql: GraphQL) -> int:
    room = await graphql.room(id=client.joined["room_id"])
    assert room is not None
    count: int = room["connectionCount"]
    return count


async def test_connection_count_falls_when_connections_go(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    first = await visitors.join(room, ana)
    second = await visitors.join(room, bob)
    assert (second.joined["connection_count"], await _count(first, graphql)) == (2, 2)
    second.vanish()
    await first.wait_for("user_left", user_id=bob.user_id)
    assert await _count(first, graphql) == 1
    third = await visitors.join(room, bob)
    assert third.joined["connection_count"] == 2
