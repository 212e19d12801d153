"""Indexes for what is asked of long-lived rooms, and every second by the sweep."""

from tortoise import migrations
from tortoise.indexes import Index

from chassis.index_operations import AddIndex, AddPartialIndex

# An index on connection_count would make every join write all indexes of the room, on PostgreSQL. These columns change
# only as a room becomes empty or is visited for the first time.
_PARTIAL = {
    "room_empty": "room (empty_since_ms) WHERE empty_since_ms IS NOT NULL",
    "room_unused": "room (created_ms) WHERE NOT visited",
    "participant_present": "participant (life) WHERE connections > 0",
}


class Migration(migrations.Migration):
    dependencies = [("rooms", "0002_deleted_life")]

    initial = False
    atomic = False

    operations = [
        *(AddPartialIndex(name, rows) for name, rows in _PARTIAL.items()),
        AddIndex("ParticipantRow", Index(fields=["life", "id"], name="participant_pages")),
        AddIndex("DeletedSlugRow", Index(fields=["deleted_ms"], name="deleted_slug_by_time")),
        AddIndex("DeletedLifeRow", Index(fields=["deleted_ms"], name="deleted_life_by_time")),
    ]
