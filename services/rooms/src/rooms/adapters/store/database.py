"""Where the tables are, how many connections a replica has to them, and how they are brought up to date."""

from chassis.database import DEFAULT_TIMEOUTS, Database, Schema, Timeouts
from chassis.migrator import migrate

POOL_SIZE = 10
# What a crash of the machine may cost is a membership, which a Sync of its edge brings back.
SCHEMA = Schema("rooms", "rooms.adapters.store.tables", "rooms.migrations", synchronous="NORMAL")
MIGRATION_LOCK = 0x53_61_6C_6F_6E_01


def rooms_database(url: str, *, timeouts: Timeouts = DEFAULT_TIMEOUTS) -> Database:
    """To be opened and closed by the caller."""
    return Database(url, SCHEMA, pool_size=POOL_SIZE, timeouts=timeouts)


async def migrate_rooms(url: str) -> None:
    """Bring the tables up to date. Raises DatabaseUnavailable."""
    await migrate(url, SCHEMA, lock=MIGRATION_LOCK)
