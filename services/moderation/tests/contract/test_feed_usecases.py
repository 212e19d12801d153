"""usecases/feed.py on both databases: who is shown a feed, and who tells edges that it has gone on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
import pytest_asyncio
from room_log import Clock, Published, connection_to, ports_of

from chassis.database import Database
from chassis.errors import DatabaseUnavailable
from moderation.domain.commands import SanctionOrder
from moderation.domain.feed import FeedHead
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rule_flags import Flagged
from moderation.domain.rules import RuleAction
from moderation.domain.sanctions import Action, Command, Scope
from moderation.errors import NotPermitted
from moderation.ports import Ports
from moderation.usecases import feed as module
from moderation.usecases.execute import execute
from moderation.usecases.feed import keep_telling_feed, keep_telling_flags, open_feed, read_feed, tell_flags

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
ADMIN, HELPER = Moderator(1, Rank.ADMIN), Moderator(8, Rank.MODERATOR)
NOW_MS = 1_000_000


@pytest.fixture
def ports(database: Database) -> Ports:
    return ports_of(database, connection_to("nats://127.0.0.1:1"), Clock(lambda: NOW_MS))


@pytest_asyncio.fixture
async def duties(ports: Ports) -> AsyncIterator[list[asyncio.Task[None]]]:
    """What a replica does all the time."""
    tasks = [asyncio.create_task(keep_telling_feed(ports)), asyncio.create_task(keep_telling_flags(ports))]
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def ban(ports: Ports, user_id: int, scope: Scope = Scope.ROOM) -> int:
    command = Command(ADMIN, Action.BAN, Target(user_id, ""), None, scope, "live", 0, "spam")
    return (await execute(ports, SanctionOrder(command))).action_id


def heads(ports: Ports) -> list[FeedHead]:
    assert isinstance(ports.events, Published)
    return ports.events.heads


def flagged(text: str = "buy") -> Flagged:
    return Flagged(3, "spam", RuleAction.FLAG, 5, "ana", text)


@pytest.mark.parametrize("reader", [Moderator(5, Rank.USER), Moderator(0, Rank.ADMIN)])
async def test_a_feed_is_shown_to_moderators_alone(ports: Ports, reader: Moderator) -> None:
    with pytest.raises(NotPermitted):
        await open_feed(ports, reader, "live", None, token_rank=Rank.USER)


@pytest.mark.parametrize("reader", [HELPER, Moderator(8, Rank.OWNER)])
@pytest.mark.parametrize(
    ("token_rank", "shown"),
    [
        (0, [5]),  # an edge of before does not say it
        (Rank.USER, [5]),
        (99, [5]),
        (Rank.MODERATOR, [7, 5]),
        (Rank.ADMIN, [7, 5]),
    ],
)
async def test_what_holds_everywhere_is_shown_by_the_rank_of_the_token_not_that_in_the_room(
    ports: Ports, reader: Moderator, token_rank: int, shown: list[int]
) -> None:
    await ban(ports, 5)
    await ban(ports, 7, Scope.EVERYWHERE)
    state = await open_feed(ports, reader, "live", None, token_rank=token_rank)
    assert [sanction.target.user_id for sanction in state.sanctions] == shown


async def test_what_was_commanded_is_told_to_edges_and_read_by_them(
    ports: Ports, duties: list[asyncio.Task[None]], eventually: Eventually
) -> None:
    async def is_told() -> bool:
        return bool(heads(ports))

    assert duties
    await asyncio.sleep(0)  # now they ask how far the feeds have come
    state = await open_feed(ports, HELPER, "live", None, token_rank=Rank.USER)
    action_id = await ban(ports, 5)
    await eventually(is_told)
    (head,) = heads(ports)
    part = await read_feed(ports, ["live"], state.event_id)
    assert [(event.id, event.action and event.action.id) for event in part.events] == [(head.event_id, action_id)]


async def test_a_replica_tells_what_was_appended_since_it_began_whoever_did_it(ports: Ports) -> None:
    await ban(ports, 5)
    tail = module.FeedTail(ports)
    await tail.tell()
    assert heads(ports) == []
    await ban(ports, 6)
    await tail.tell()
    await tail.tell()
    assert heads(ports) == [FeedHead("live", NOW_MS + 1)]


async def test_a_replay_that_has_no_room_is_said_not_to_be_all(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    for user_id in (5, 6, 7):
        await ban(ports, user_id)
    state = await open_feed(ports, HELPER, "live", NOW_MS, token_rank=Rank.USER)
    assert (len(state.events), state.recovered) == (2, True)
    monkeypatch.setattr(module, "REPLAY_BYTES", 700)
    state = await open_feed(ports, HELPER, "live", NOW_MS, token_rank=Rank.USER)
    assert ([event.id for event in state.events], state.recovered) == ([NOW_MS + 2], False)


async def test_what_rules_flag_is_told_once_a_second_and_again_where_the_database_was_away(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ports.admission.rules.flags
    await tell_flags(ports)
    flags.note("live", flagged("a"))
    append = ports.store.append_flags

    async def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(ports.store, "append_flags", fail)
    with pytest.raises(DatabaseUnavailable):
        await tell_flags(ports)
    monkeypatch.setattr(ports.store, "append_flags", append)
    flags.note("live", flagged("b"))
    await tell_flags(ports)
    (event,) = (await read_feed(ports, ["live"], 0)).events
    assert ([hit["message"] for hit in event.data["hits"]], event.data["count"]) == (["a", "b"], 2)
    assert len(flags) == 0


async def test_flags_hold_up_no_command(ports: Ports, duties: list[asyncio.Task[None]], eventually: Eventually) -> None:
    """They are told in a transaction of their own, however many there are."""

    async def are_told() -> bool:
        part = await ports.store.feed_heads_after(0, first=1_000)
        return len({head.slug for head in part} - {"live"}) == 150

    assert duties
    for number in range(150):
        ports.admission.rules.flags.note(f"room{number}", flagged())
    await asyncio.gather(*(ban(ports, user_id) for user_id in range(2, 8)))
    await eventually(are_told)
    part = await ports.store.feed_heads_after(0, first=1_000)
    assert sum(head.slug == "live" for head in part) == 6
