"""Notes, visits, and what else is known of somebody: questions and changes in the transaction that is open."""

from collections.abc import Mapping

from tortoise.expressions import Q
from tortoise.functions import Count
from tortoise.queryset import QuerySet

from chassis.database import Session, packed
from moderation.adapters.store.rows import storable
from moderation.adapters.store.tables import NAME_LENGTH, NoteRow, SanctionRow, SightingRow, VisitRow, WarningRow
from moderation.adapters.store.warnings import warning_from_row
from moderation.domain.cases import SHOWN, AddNote, Note, Seen
from moderation.domain.people import Rank, Target
from moderation.domain.visits import MOST_VISITS, Visit
from moderation.domain.warnings import RoomWarning

_SURPLUS_AT_ONCE = 500
_VISIT = {"user_id": "bigint", "slug": "text", "name": "text", "first_seen_ms": "bigint", "last_seen_ms": "bigint"}
_WRITE_VISITS = """INSERT INTO visit (user_id, slug, name, first_seen_ms, last_seen_ms)
    SELECT x.user_id, x.slug, x.name, x.first_seen_ms, x.last_seen_ms FROM {rows} WHERE true
    ON CONFLICT (user_id, slug, name) DO UPDATE SET last_seen_ms = excluded.last_seen_ms"""
_RANKS = {int(rank): rank for rank in Rank}


async def count_notes(slug: str, target: Target) -> int:
    """How many there are of somebody in a room."""
    return await NoteRow.filter(_of(target), slug=slug).count()


async def insert_note(command: AddNote, *, now_ms: int) -> Note:
    """Keep it."""
    row = NoteRow(
        slug=command.slug,
        target_user_id=command.target.user_id,
        target_username=command.target.username,
        text=command.text,
        author_user_id=command.moderator.user_id,
        author_username=storable(command.username)[:NAME_LENGTH],
        author_rank=int(command.moderator.rank),
        created_at_ms=now_ms,
    )
    await row.save()
    return _note_from_row(row)


async def find_note(note_id: int) -> Note | None:
    """One; None: there is none."""
    row = await NoteRow.get_or_none(id=note_id)
    return None if row is None else _note_from_row(row)


async def delete_note(note_id: int) -> None:
    """It is gone."""
    await NoteRow.filter(id=note_id).delete()


async def notes_of(slug: str, target: Target, since_ms: int) -> list[Note]:
    """The newest of somebody in a room, newest first."""
    rows = NoteRow.filter(_of(target), slug=slug, created_at_ms__gte=since_ms)
    return [_note_from_row(row) for row in await rows.order_by("-id").limit(SHOWN)]


async def warnings_of(slug: str, target: Target, since_ms: int) -> list[RoomWarning]:
    """The same of warnings, in whatever state."""
    rows = WarningRow.filter(_of(target), slug=slug, moderator_rank__in=list(_RANKS), created_at_ms__gte=since_ms)
    return [warning_from_row(row) for row in await rows.order_by("-id").limit(SHOWN)]


def sanctions_of(slug: str | None, target: Target) -> QuerySet[SanctionRow]:
    """The same of sanctions of the room, slug None: everywhere."""
    rows = SanctionRow.filter(_of(target) & (Q(slug__isnull=True) if slug is None else Q(slug=slug)))
    return rows.filter(moderator_rank__in=list(_RANKS)).order_by("-id").limit(SHOWN)


async def seen_of(slug: str, target: Target, since_ms: int) -> Seen:
    """When, and by which names, somebody was there since then."""
    if not target.user_id:
        sightings = SightingRow.filter(user_id=0, name=target.username, slug=slug, seen_at_ms__gte=since_ms)
        latest = await sightings.order_by("-seen_at_ms").limit(SHOWN).only("id", "seen_at_ms")
        times = [row.seen_at_ms for row in latest]
        return Seen((target.username,), times[-1], times[0]) if times else Seen((target.username,))
    found = VisitRow.filter(user_id=target.user_id, slug=slug, last_seen_ms__gte=since_ms)
    visits = await found.order_by("-last_seen_ms").limit(SHOWN)
    if not visits:
        return Seen()
    names = tuple(visit.name for visit in visits)
    return Seen(names, max(since_ms, min(visit.first_seen_ms for visit in visits)), visits[0].last_seen_ms)


async def write_visits(session: Session, visits: Mapping[Visit, tuple[int, int]]) -> None:
    """Sorted, so that two replicas take their locks in the same order. The first time of a row that there is stays. Of
    users with more than MOST_VISITS the oldest go."""
    rows = [
        {**visit._asdict(), "first_seen_ms": first_ms, "last_seen_ms": last_ms}
        for visit, (first_ms, last_ms) in sorted(visits.items())
    ]
    await session.fetch(_WRITE_VISITS.format(rows=session.rows(_VISIT)), packed(rows))
    counted = VisitRow.filter(user_id__in=sorted({visit.user_id for visit in visits})).annotate(kept=Count("user_id"))
    for user_id in await counted.group_by("user_id").filter(kept__gt=MOST_VISITS).values_list("user_id", flat=True):
        surplus = VisitRow.filter(user_id=user_id).order_by("-last_seen_ms", "-id").offset(MOST_VISITS)
        oldest = await surplus.limit(_SURPLUS_AT_ONCE).select_for_update(skip_locked=True).only("id")
        await VisitRow.filter(id__in=[row.id for row in oldest]).delete()


async def delete_visits(before_ms: int, first: int) -> bool:
    """Delete those of whom nobody was seen since. Whether there may be more."""
    old = VisitRow.filter(last_seen_ms__lt=before_ms)
    ids = [row.id for row in await old.limit(first).select_for_update(skip_locked=True).only("id")]
    await VisitRow.filter(id__in=ids).delete()
    return len(ids) == first


async def delete_notes(before_ms: int, first: int) -> bool:
    """Delete older ones. Whether there may be more."""
    old = NoteRow.filter(created_at_ms__lt=before_ms)
    ids = [row.id for row in await old.limit(first).select_for_update(skip_locked=True).only("id")]
    await NoteRow.filter(id__in=ids).delete()
    return len(ids) == first


def _of(target: Target) -> Q:
    return Q(target_user_id=target.user_id, target_username=target.username)


def _note_from_row(row: NoteRow) -> Note:
    """A rank of a later version is the highest: nobody below deletes its notes."""
    return Note(
        id=row.id,
        slug=row.slug,
        target=Target(row.target_user_id, row.target_username),
        text=row.text,
        author_user_id=row.author_user_id,
        author_username=row.author_username,
        author_rank=_RANKS.get(row.author_rank, Rank.SUPERUSER),
        created_at_ms=row.created_at_ms,
    )
