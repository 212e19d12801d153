"""The Blocks port on SQLite or PostgreSQL."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from chassis.database import Database, Session, Share, packed
from chassis.outages import retried_on_conflict
from rooms.adapters.store.tables import to_ms
from rooms.domain.blocks import check_block_quota
from rooms.domain.people import UserId


class TortoiseBlocks:
    """Raises DatabaseUnavailable. `share`: as of TortoiseEmotes."""

    def __init__(self, database: Database, share: Share) -> None:
        self._database = database
        self._share = share

    async def of_user(self, user_id: UserId) -> list[UserId]:
        """Whom a user has blocked, the last one first."""
        async with self._share.session() as session:
            return (await _of_users(session, [user_id]))[0]

    async def for_edges(self, user_ids: Sequence[UserId]) -> list[list[UserId]]:
        """The same of each of these, who join."""
        async with self._database.session() as session:
            return await _of_users(session, user_ids)

    async def for_joins(self, user_ids: Collection[UserId], *, most: int) -> Mapping[UserId, list[UserId]]:
        """In the order of the users; the last one may have been read in part, where there were too many."""
        async with self._database.session() as session:
            rows = await session.fetch(
                f"SELECT user_id, blocked_user_id FROM block WHERE {_among(session)}"
                " ORDER BY user_id, id DESC LIMIT $2",
                _packed_users(user_ids),
                most + 1,
            )
        found: dict[UserId, list[UserId]] = {user_id: [] for user_id in user_ids}
        for row in rows:
            found[row["user_id"]].append(row["blocked_user_id"])
        if len(rows) <= most:
            return found
        return {user_id: blocked for user_id, blocked in found.items() if user_id < rows[-1]["user_id"]}

    @retried_on_conflict
    async def block(self, user_id: UserId, blocked: UserId, *, now: datetime) -> bool:
        """Whether they were not blocked before. Raises TooManyBlocks."""
        async with self._share.transaction() as session:
            await session.lock_number(user_id)
            rows = await session.fetch(
                "SELECT count(*) AS n FROM block WHERE user_id = $1 AND blocked_user_id <> $2", user_id, blocked
            )
            check_block_quota(int(rows[0]["n"]))
            made = await session.fetch(
                "INSERT INTO block (user_id, blocked_user_id, created_ms) VALUES ($1, $2, $3)"
                " ON CONFLICT (user_id, blocked_user_id) DO NOTHING RETURNING id",
                user_id,
                blocked,
                to_ms(now),
            )
        return bool(made)

    async def unblock(self, user_id: UserId, blocked: UserId) -> bool:
        """Whether they were blocked."""
        async with self._share.session() as session:
            rows = await session.fetch(
                "DELETE FROM block WHERE user_id = $1 AND blocked_user_id = $2 RETURNING id", user_id, blocked
            )
        return bool(rows)


async def _of_users(session: Session, user_ids: Sequence[UserId]) -> list[list[UserId]]:
    rows = await session.fetch(
        f"SELECT user_id, blocked_user_id FROM block WHERE {_among(session)} ORDER BY id DESC", _packed_users(user_ids)
    )
    found: dict[UserId, list[UserId]] = {user_id: [] for user_id in user_ids}
    for row in rows:
        found[row["user_id"]].append(row["blocked_user_id"])
    return [found[user_id] for user_id in user_ids]


def _among(session: Session) -> str:
    asked = f"SELECT x.user_id FROM {session.rows({'user_id': 'bigint'})}"
    # PostgreSQL takes it for a hundred users otherwise, and reads the whole table where many block many.
    return f"user_id = ANY(ARRAY({asked}))" if session.is_postgres else f"user_id IN ({asked})"


def _packed_users(user_ids: Collection[UserId]) -> str:
    return packed([{"user_id": user_id} for user_id in set(user_ids)])
