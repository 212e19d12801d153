"""Where the tables of moderation are, and how long a replica waits for them."""

from chassis.database import Database, Schema, Timeouts
from chassis.migrator import migrate

DEADLINE_S = 3.0
"""Of one question to the database. PostgreSQL knows it too, so that nothing goes on there that nobody waits for."""
POOL_SIZE = 5
"""Connections of one replica to PostgreSQL: orders go one by one, so more would only wait there."""
SCHEMA = Schema("moderation", "moderation.adapters.tables", "moderation.migrations")
_TIMEOUTS = Timeouts(gate_s=None, connect_s=DEADLINE_S, statement_ms=int(DEADLINE_S * 1000))
_MIGRATION_LOCK = 0x5A10_0001


def moderation_database(url: str) -> Database:
    """To be opened and closed by the caller."""
    return Database(url, SCHEMA, pool_size=POOL_SIZE, timeouts=_TIMEOUTS)


async def migrate_moderation(url: str) -> None:
    """Bring the tables up to date. Raises DatabaseUnavailable."""
    await migrate(url, SCHEMA, lock=_MIGRATION_LOCK)
