"""The highest sequences of the log in the database."""

from collections.abc import Mapping

from chassis.database import Database, Session
from chassis.outages import retry_on_conflict
from rooms.domain.log_position import LogPosition, Resumption, resume, seen


class TortoiseLogPositions:
    """The LogPositions port on SQLite or PostgreSQL. Raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remember(self, sequences: Mapping[int, int]) -> None:
        """Raise what is remembered, by partition. What is known already is not written again."""
        if not sequences:
            return
        async with self._database.session() as session:
            for partition, sequence in sorted(sequences.items()):
                await session.fetch(
                    "INSERT INTO log_position (partition_number, highest, resumed) VALUES ($1, $2, 0)"
                    " ON CONFLICT (partition_number) DO UPDATE SET highest = excluded.highest"
                    " WHERE log_position.highest < excluded.highest",
                    partition,
                    sequence,
                )

    async def resume(self, partition: int, sequence: int, *, behind: int) -> Resumption:
        """Remember the sequence, and decide where a stream that is behind goes on; behind 0: it is not."""

        async def attempt() -> Resumption:
            async with self._database.transaction() as session:
                before = await _lock(session, partition)
                reported = seen(before, sequence)
                found = resume(reported, behind) if behind else Resumption(reported, 0)
                if found.position != before:
                    await session.fetch(
                        "UPDATE log_position SET highest = $2, resumed = $3 WHERE partition_number = $1",
                        partition,
                        found.position.highest,
                        found.position.resumed,
                    )
                return found

        return await retry_on_conflict(attempt)


async def _lock(session: Session, partition: int) -> LogPosition:
    await session.fetch(
        "INSERT INTO log_position (partition_number, highest, resumed) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING",
        partition,
    )
    rows = await session.fetch(
        f"SELECT highest, resumed FROM log_position WHERE partition_number = $1 {session.for_update}",  # noqa: S608 - a clause of ours
        partition,
    )
    return LogPosition(rows[0]["highest"], rows[0]["resumed"])
