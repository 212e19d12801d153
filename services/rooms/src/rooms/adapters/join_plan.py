"""What a batch of joins would do, read before its transaction: who is refused, and which rooms are to be made."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.database import Session, packed
from rooms.adapters.room_rows import OPEN, Access, NewRoom, access_of, slugs_of, take_ids
from rooms.domain.membership import Arrival, ById, BySlug, JoinRefusal
from rooms.domain.naming import is_id
from rooms.domain.people import ConnectionId, Rank, RoomId, Slug, UserId
from rooms.domain.rooms import RoomPolicy, may_enter


@dataclass(frozen=True, slots=True)
class Planned:
    """A join that may go ahead as long as its room is as it was when this was decided."""

    arrival: Arrival
    slug: Slug
    access: Access


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions about one batch."""

    arrivals: tuple[Arrival, ...]
    admitted: tuple[Planned, ...]
    refused: dict[ConnectionId, JoinRefusal]
    new_rooms: tuple[NewRoom, ...]


async def plan(session: Session, arrivals: Sequence[Arrival], policy: RoomPolicy) -> Plan:
    """Decide about each arrival. Takes ids for the rooms to be made, but makes none."""
    slugs = await _slugs(session, arrivals)
    states = await access_of(session, set(slugs.values()))
    invited = await _invited(session, arrivals, slugs, states)
    admitted: list[Planned] = []
    refused: dict[ConnectionId, JoinRefusal] = {}
    missing: dict[Slug, RoomId | None] = {}
    for arrival in arrivals:
        slug = slugs[arrival.connection]
        is_living, access = states.get(slug, (False, OPEN))
        if not is_living and not policy.may_create(slug, has_kept_settings=access.kept_room_id is not None):
            refused[arrival.connection] = JoinRefusal.NOT_FOUND
        elif not _may_enter(arrival, access, (slug, arrival.person.user_id) in invited):
            refused[arrival.connection] = JoinRefusal.ACCESS_DENIED
        else:
            admitted.append(Planned(arrival, slug, access))
            if not is_living:
                missing[slug] = access.kept_room_id or (RoomId(int(slug)) if is_id(slug) else None)
    return Plan(tuple(arrivals), tuple(admitted), refused, await _new_rooms(session, missing))


async def _slugs(session: Session, arrivals: Sequence[Arrival]) -> dict[ConnectionId, Slug]:
    ids = {arrival.ref.room_id for arrival in arrivals if isinstance(arrival.ref, ById)}
    known = await slugs_of(session, ids) if ids else {}
    found: dict[ConnectionId, Slug] = {}
    for arrival in arrivals:
        match arrival.ref:
            case ById(room_id):
                found[arrival.connection] = known.get(room_id, Slug(str(room_id)))
            case BySlug(slug):
                found[arrival.connection] = slug
            case _:
                raise AssertionError("videos are turned into slugs before")
    return found


async def _invited(
    session: Session,
    arrivals: Sequence[Arrival],
    slugs: dict[ConnectionId, Slug],
    states: dict[Slug, tuple[bool, Access]],
) -> set[tuple[Slug, UserId]]:
    wanted = {
        (slugs[arrival.connection], arrival.person.user_id)
        for arrival in arrivals
        if arrival.person.user_id is not None
        and arrival.person.rank < Rank.ADMIN
        and not states.get(slugs[arrival.connection], (False, OPEN))[1].is_public
    }
    if not wanted:
        return set()
    rows = await session.fetch(
        f"SELECT i.slug, i.user_id FROM invitation i JOIN {session.rows({'slug': 'text', 'user_id': 'bigint'})}"
        " ON x.slug = i.slug AND x.user_id = i.user_id",
        packed([{"slug": slug, "user_id": user_id} for slug, user_id in wanted]),
    )
    return {(row["slug"], row["user_id"]) for row in rows}


def _may_enter(arrival: Arrival, access: Access, is_invited: bool) -> bool:
    return may_enter(
        user_id=arrival.person.user_id,
        rank=arrival.person.rank,
        is_public=access.is_public,
        allow_anonymous=access.allow_anonymous,
        owner=access.owner,
        is_invited=is_invited,
    )


async def _new_rooms(session: Session, missing: dict[Slug, RoomId | None]) -> tuple[NewRoom, ...]:
    unnumbered = sum(room_id is None for room_id in missing.values())
    ids = iter(await take_ids(session, unnumbered) if unnumbered else [])
    return tuple(NewRoom(slug, next(ids) if room_id is None else room_id) for slug, room_id in missing.items())
