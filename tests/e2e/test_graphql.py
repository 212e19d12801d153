"""GraphQL over HTTP: the document's operations byte for byte, and every field of the specification's schema."""

from typing import Any

import httpx
import pytest
from chat_client import STAMP, Person, Visitors, person
from graphql_client import CREATE, DELETE, INVITE, GraphQL

DOCUMENT_MUTATION = """mutation CreateChatRoom {
  createChatRoom(
    name: "Discussion Générale"
    slug: "live-general" # Identifiant unique lisible (optionnel)
    description: "Chat public"
    isPublic: true
  ) {
    id
    slug
    name
    isPublic
    createdAt
  }
}
"""
DOCUMENT_QUERY = """query GetChatRooms {
  chatRooms {
    id
    slug
    name
    description
    isPublic
    participantCount
  }
}
"""


async def test_the_documents_mutation_and_query_work_as_written(
    visitors: Visitors, graphql: GraphQL, ana: Person, bob: Person
) -> None:
    made = (await graphql.run(DOCUMENT_MUTATION, ana))["createChatRoom"]
    assert set(made) == {"id", "slug", "name", "isPublic", "createdAt"}
    assert (made["slug"], made["name"], made["isPublic"]) == ("live-general", "Discussion Générale", True)
    assert made["id"] >= 1_000_000_000
    await visitors.join("live-general", bob)
    rooms = (await graphql.run(DOCUMENT_QUERY))["chatRooms"]
    (listed,) = [room for room in rooms if room["slug"] == "live-general"]
    assert listed == {
        "id": made["id"],
        "slug": "live-general",
        "name": "Discussion Générale",
        "description": "Chat public",
        "isPublic": True,
        "participantCount": 1,
    }


async def test_get_answers_queries_and_refuses_mutations(http: httpx.AsyncClient, ana: Person) -> None:
    answer = await http.get("/graphql", params={"query": DOCUMENT_QUERY})
    assert "chatRooms" in answer.json()["data"]
    headers = {"Authorization": f"Bearer {ana.token}", "Accept": "application/json"}
    answer = await http.get(
        "/graphql", params={"query": 'mutation { createChatRoom(name: "x") { id } }'}, headers=headers
    )
    assert answer.status_code in (400, 405) or answer.json()["errors"]
    assert not (answer.json().get("data") or {}).get("createChatRoom") if answer.status_code == 200 else True


async def test_create_chat_room_needs_a_signed_in_user(graphql: GraphQL, http: httpx.AsyncClient) -> None:
    assert await graphql.refusal(CREATE, None, name="x") == "UNAUTHENTICATED"
    answer = await http.post(
        "/graphql", json={"query": DOCUMENT_MUTATION}, headers={"Authorization": "Bearer nonsense"}
    )
    assert answer.status_code == 401 or answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_chat_rooms_lists_only_rooms_with_someone_in_them_and_private_ones_to_those_who_may_enter(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person, admin: Person
) -> None:
    await graphql.create("Hidden", ana, slug=room, isPublic=False)
    await graphql.run(INVITE, ana, slug=room, userId=bob.user_id)
    query = "query($search: String) { chatRooms(search: $search) { slug } }"

    async def sees(who: Person | None) -> bool:
        return {"slug": room} in (await graphql.run(query, who, search=room))["chatRooms"]

    assert not await sees(ana), "nobody is in it yet"
    inside = await visitors.join(room, ana)
    assert [await sees(who) for who in (ana, bob, admin, person("stranger"), None)] == [True, True, True, False, False]
    assert await graphql.room(person("stranger"), slug=room) is None
    await inside.leave()


async def test_chat_room_has_every_field_of_the_schema(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, address: str
) -> None:
    await visitors.join(room, ana)
    await visitors.join(room, ana)
    await visitors.join(room, address=address)
    found = await graphql.room(ana, slug=room)
    assert found is not None
    assert (found["participantCount"], found["connectionCount"]) == (2, 3)
    assert found["createdAt"].endswith(("Z", "+00:00"))
    people = {p["username"]: p for p in found["participants"]}
    assert people["ana"]["userId"] == ana.user_id
    assert (people["ana"]["state"], people["ana"]["connectionCount"]) == ("ONLINE", 2)
    assert people[f"Anonymous_{address}"]["userId"] is None


async def test_participant_states_offline_muted_and_banned(
    visitors: Visitors, graphql: GraphQL, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    cy = person("cy")
    chair = await visitors.join(room, admin)
    gone = await visitors.join(room, cy)
    for who in (ana, bob):
        await visitors.join(room, who)
    await gone.leave()
    await chair.wait_for("user_left", user_id=cy.user_id)
    await chair.send("moderation_action", action="mute", target_user_id=ana.user_id)
    await chair.send("moderation_action", action="ban", target_user_id=bob.user_id)
    await chair.wait_for("user_left", user_id=bob.user_id)
    found = await graphql.room(admin, slug=room)
    assert found is not None
    states = {p["username"]: p["state"] for p in found["participants"]}
    assert states == {"Adele": "ONLINE", "cy": "OFFLINE", "ana": "MUTED", "bob": "BANNED"}


async def test_lists_are_clamped_and_after_takes_the_cursor_of_an_element(
    visitors: Visitors, graphql: GraphQL, room: str
) -> None:
    for number in range(3):
        await visitors.join(f"{room}-{number}", person(f"p{number}"))
    query = """query($first: Int, $after: String, $search: String) {
      chatRooms(first: $first, after: $after, search: $search) { slug cursor } }"""
    everything = (await graphql.run(query, first=2_000_000_000, search=room))["chatRooms"]
    assert len(everything) == 3
    page = (await graphql.run(query, first=2, search=room))["chatRooms"]
    rest = (await graphql.run(query, first=2, after=page[-1]["cursor"], search=room))["chatRooms"]
    assert [r["slug"] for r in page + rest] == [r["slug"] for r in everything]
    assert await graphql.refusal(query, first=-1, search=room) == "INVALID"


@pytest.mark.parametrize("slug", ["123", "video-3", ".x", "a b", "", "x" * 129])
async def test_a_slug_of_only_digits_or_of_a_video_or_malformed_is_invalid(
    graphql: GraphQL, ana: Person, slug: str
) -> None:
    assert await graphql.refusal(CREATE, ana, name="x", slug=slug) == "INVALID"


async def test_a_slug_in_use_is_a_conflict(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    await visitors.join(room, ana)
    assert await graphql.refusal(CREATE, bob, name="x", slug=room) == "CONFLICT"


async def test_without_a_slug_one_is_made_from_the_name_and_kept_unique(graphql: GraphQL, ana: Person) -> None:
    rooms = [await graphql.create("Soirée d'été à Nice!", ana) for _ in range(2)]
    slugs = [room["slug"] for room in rooms]
    assert len(set(slugs)) == 2
    assert all(slug and " " not in slug and "!" not in slug for slug in slugs)


async def test_update_chat_room_is_for_creator_and_admin(
    graphql: GraphQL, room: str, ana: Person, bob: Person, admin: Person
) -> None:
    made = await graphql.create("Before", ana, slug=room)
    update = """mutation($id: SafeInt!, $name: String, $isPublic: Boolean) {
      updateChatRoom(id: $id, name: $name, isPublic: $isPublic) { name isPublic } }"""
    assert await graphql.refusal(update, bob, id=made["id"], name="Bob's") == "FORBIDDEN"
    assert await graphql.run(update, ana, id=made["id"], name="After") == {
        "updateChatRoom": {"name": "After", "isPublic": True}
    }
    assert (await graphql.run(update, admin, id=made["id"], isPublic=False))["updateChatRoom"]["isPublic"] is False
    assert await graphql.refusal(update, admin, id=999_888, name="x") == "NOT_FOUND"
    assert await graphql.refusal(DELETE, admin, id=999_888) == "NOT_FOUND"


async def test_sanctions_are_listed_for_moderators_and_lifted_by_who_could_have_imposed_them(
    visitors: Visitors, graphql: GraphQL, room: str, admin: Person, moderator: Person, ana: Person, bob: Person
) -> None:
    chair = await visitors.join(room, admin)
    target = await visitors.join(room, ana)
    await chair.send("moderation_action", action="mute", target_user_id=ana.user_id, duration_minutes=5, reason="noise")
    await chair.wait_for("moderation_action", action="mute")
    await chair.send("moderation_action", action="ban", target_user_id=bob.user_id)
    await chair.wait_for("moderation_action", action="ban")
    query = """query($slug: String, $active: Boolean) { sanctions(slug: $slug, active: $active) {
      id action targetUserId targetUsername scope slug reason moderatorUserId createdAt
      expiresAt liftedAt active cursor } }"""
    assert await graphql.refusal(query, ana, slug=room) == "FORBIDDEN"
    assert await graphql.refusal(query, None, slug=room) == "UNAUTHENTICATED"
    listed = (await graphql.run(query, moderator, slug=room))["sanctions"]
    by_action: dict[str, Any] = {s["action"]: s for s in listed}
    mute, ban = by_action["mute"], by_action["ban"]
    assert (mute["targetUserId"], mute["reason"], mute["slug"], mute["scope"]) == (ana.user_id, "noise", room, "room")
    assert (ban["expiresAt"], ban["active"], ban["moderatorUserId"]) == (None, True, admin.user_id)
    lift = "mutation($id: SafeInt!) { liftSanction(id: $id) { id active liftedAt } }"
    assert await graphql.refusal(lift, moderator, id=ban["id"]) == "FORBIDDEN"
    lifted = (await graphql.run(lift, admin, id=mute["id"]))["liftSanction"]
    assert lifted["active"] is False
    assert lifted["liftedAt"]
    await target.wait_for("moderation_action", action="unmute")
    await target.say("free again")
    assert [s["action"] for s in (await graphql.run(query, admin, slug=room, active=True))["sanctions"]] == ["ban"]
    assert await graphql.refusal(lift, admin, id=2**52) == "NOT_FOUND"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"query":5}',
        b"{}",
        b'{"query":"{ nothing }"}',
        b'{"query":"{ chatRooms { id "}',
        b'{"query":"{ chatRooms { id } }","variables":[]}',
    ],
)
async def test_bad_requests_are_answered_with_errors_and_no_internals(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500
    assert "Traceback" not in answer.text
    assert answer.json()["errors"]


async def test_deep_wide_and_huge_queries_are_refused(http: httpx.AsyncClient, graphql: GraphQL) -> None:
    wide = "{" + " ".join(f"a{n}: chatRooms {{ id }}" for n in range(200)) + "}"
    assert (await graphql.post(wide)).get("errors")
    huge = await http.post("/graphql", json={"query": "{ chatRooms { id } }" + " " * 2_000_000})
    assert huge.status_code in (400, 413)
    deep = "{ __schema { types " + "{ fields { type { ofType " * 12 + "{ name }" + " } } }" * 12 + " } }"
    assert (await graphql.post(deep)).get("errors")


async def test_safe_int_takes_ids_up_to_2_to_the_53_and_no_more(graphql: GraphQL, ana: Person) -> None:
    assert await graphql.room(ana, id=2**53 - 2) is None
    assert (await graphql.post("query($id: SafeInt) { chatRoom(id: $id) { id } }", ana, id=2**53)).get("errors")


async def test_created_at_is_a_time(graphql: GraphQL, room: str, ana: Person) -> None:
    created = (await graphql.create("Time", ana, slug=room))["createdAt"]
    assert STAMP.fullmatch(created) or "T" in created
