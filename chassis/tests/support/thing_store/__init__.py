"""A service's tables, as small as can be."""

from chassis.database import Schema

SCHEMA = Schema("things", "thing_store.tables", "thing_store.migrations")
