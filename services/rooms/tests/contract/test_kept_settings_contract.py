"""Settings that are kept for a slug: how many a user may have, and when they are forgotten."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import Slug, UserId
from rooms.domain.rooms import DAY_MS, Invitation, SettingsChange
from rooms.errors import SlugTaken, TooManyRooms

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import MakeReplica, Replica

OWNER = 7


async def age(replica: "Replica", *, days: float | None) -> None:
    """As if all settings had been used last so many days ago; None: an older replica wrote them."""
    async with replica.database.session() as session:
        used = "NULL" if days is None else f"{session.now_ms} - {round(days * DAY_MS)}"
        await session.fetch(f"UPDATE kept_settings SET last_used_ms = {used}")


async def reap(replica: "Replica") -> None:
    await replica.leases.reap(now=replica.now)


async def used_room(replica: "Replica", slug: str, owner: int = OWNER) -> None:
    """Its settings are kept, and nobody is in it any more."""
    await replica.create(slug, owner, is_public=False)
    await replica.enter(1, slug, owner)
    await replica.leave(1)


async def test_a_user_keeps_the_settings_of_twenty_rooms(replica: "Replica") -> None:
    for number in range(20):
        await replica.create(f"r{number}", OWNER)
    with pytest.raises(TooManyRooms):
        await replica.create("r20", OWNER)
    await replica.create("r20", OWNER + 1)
    await replica.catalog.delete_room(await replica.found("r3"))
    await replica.create("r21", OWNER)


async def test_who_keeps_as_many_as_may_be_makes_one_of_them_live_again(replica: "Replica") -> None:
    await used_room(replica, "old")
    for number in range(19):
        await replica.create(f"r{number}", OWNER)
    await replica.create("old", OWNER)
    with pytest.raises(SlugTaken):
        await replica.create("old", OWNER)


async def test_rooms_that_one_user_makes_at_once_on_two_replicas_are_no_more_than_the_quota(
    fresh_database: str, make_replica: "MakeReplica", replica: "Replica"
) -> None:
    pair = [replica, await make_replica(fresh_database, replica.policy)] if replica.database.is_postgres else [replica]
    made = await asyncio.gather(
        *(pair[number % len(pair)].create(f"r{number}", OWNER) for number in range(40)), return_exceptions=True
    )
    assert sum(isinstance(outcome, int) for outcome in made) == 20
    assert {type(outcome) for outcome in made if not isinstance(outcome, int)} == {TooManyRooms}


async def test_settings_and_invitations_that_nobody_used_for_90_days_are_forgotten(replica: "Replica") -> None:
    await used_room(replica, "a")
    await replica.catalog.invite(await replica.found("a"), Invitation(Slug("a"), UserId(8), UserId(OWNER), replica.now))
    await age(replica, days=89.9)
    await reap(replica)
    assert (await replica.found("a")).owner == OWNER
    await age(replica, days=90.1)
    await reap(replica)
    assert await replica.catalog.find_room(slug=Slug("a")) is None
    assert await replica.rows("invitation") == await replica.rows("room") == 0
    await replica.enter(1, "a", 9)


@pytest.mark.parametrize("use", ["enter", "leave", "update", "create"])
async def test_a_use_keeps_settings_for_another_90_days(replica: "Replica", use: str) -> None:
    await used_room(replica, "a")
    if use == "leave":
        await replica.enter(2, "a", OWNER)
    await age(replica, days=100)
    if use == "enter":
        await replica.enter(2, "a", OWNER)
    elif use == "leave":
        await replica.leave(2)
    elif use == "create":
        await replica.create("a", OWNER)
    else:
        await replica.catalog.update_room(await replica.found("a"), SettingsChange(name="new"), now=replica.now)
    await reap(replica)
    assert (await replica.found("a")).owner == OWNER


async def test_settings_of_which_nobody_knows_when_they_were_used_are_taken_for_used_now(replica: "Replica") -> None:
    await used_room(replica, "a")
    await age(replica, days=None)
    await reap(replica)
    async with replica.database.session() as session:
        (row,) = await session.fetch(f"SELECT {session.now_ms} - last_used_ms AS ago FROM kept_settings")
    assert 0 <= row["ago"] < DAY_MS
