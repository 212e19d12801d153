"""The pin of a room: one message that everybody is shown, over two edges, until it is unpinned, replaced or deleted."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import salon_processes
from chat_client import STAMP, Client, Frame, Person, Visitors, of_type
from salon_processes import Salon, Shape

NOT_FOUND = ("Not found", "not_found")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, shape: Shape) -> Iterator[Salon]:
    """Two edges."""
    salon = Salon(tmp_path_factory.mktemp("pins"), {}, shape)
    try:
        yield salon.start(edges=2)
    finally:
        salon_processes.stop_all([salon])


@pytest_asyncio.fixture
async def guests(pair: Salon) -> AsyncIterator[Visitors]:
    """Who comes through the first edge."""
    opened = Visitors(pair.edges[0].ws)
    yield opened
    await opened.close()


async def pin(chair: Client, message: Frame, nonce: str) -> Frame:
    """The moderator's own copy."""
    await chair.send("moderation_action", action="pin", message_id=message["id"], nonce=nonce)
    return await chair.wait_for("message_pinned", nonce=nonce)


def as_pinned(message: Frame) -> Frame:
    """A message as it is shown where it is pinned."""
    return {name: value for name, value in message.items() if name not in ("prev_id", "nonce")}


async def test_a_pin_is_told_to_everybody_in_the_order_of_the_log_and_to_newcomers_on_every_edge(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, author = await guests.join(room, moderator), await guests.join(room, ana)
    assert author.joined["pinned"] is None
    there = await guests.join(room, bob, ws=pair.edges[1].ws)
    said = await author.say("rules: be kind", nonce="s1")
    answer = await author.say("what she says", reply_to=said["id"])
    own = await pin(chair, said, "p1")
    for client in (author, there):
        seen = await client.wait_for("message_pinned")
        assert own == {**seen, "nonce": "p1"}
    assert seen["message"] == as_pinned(said)
    assert (seen["prev_id"], seen["moderator_user_id"]) == (answer["id"], moderator.user_id)
    assert STAMP.fullmatch(seen["timestamp"])
    for edge in pair.edges:
        late = await guests.join(room, ws=edge.ws)
        assert late.joined["pinned"]["message"] == seen["message"]
        assert late.joined["pinned"]["moderator_user_id"] == moderator.user_id
        await late.leave()
    replaced = await pin(chair, answer, "p2")
    assert replaced["message"] == as_pinned(answer)
    assert (await there.wait_for("message_pinned"))["message"]["reply_to"] == said["id"]
    await chair.send("moderation_action", action="unpin", message_id=said["id"], nonce="u1")
    await chair.expect_error(*NOT_FOUND, nonce="u1")
    await chair.send("moderation_action", action="unpin", message_id=answer["id"], nonce="u2")
    gone = await chair.wait_for("message_unpinned", nonce="u2")
    assert {**await there.wait_for("message_unpinned"), "nonce": "u2"} == gone
    assert (gone["message_id"], gone["prev_id"]) == (answer["id"], replaced["id"])
    await chair.send("moderation_action", action="unpin", message_id=answer["id"], nonce="u3")
    await chair.expect_error(*NOT_FOUND, nonce="u3")
    late = await guests.join(room, ws=pair.edges[1].ws)
    assert late.joined["pinned"] is None
    assert len(of_type(author.seen, "message_pinned")) == 1
    assert (await author.say("goes on"))["prev_id"] == gone["id"]
