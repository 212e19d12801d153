"""The database: ports.Memberships, Leases, LogPositions and RoomCatalog on SQLite and PostgreSQL.

The store reads rows, and writes what the domain decided about them; each change is one transaction, which locks the
lease of the edge first, then rooms in the order of their slugs, then settings.
"""
