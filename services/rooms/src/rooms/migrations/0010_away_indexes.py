"""Indexes for who is away: of a life, and by when that ends."""

from tortoise import migrations

from chassis.index_operations import AddPartialIndex

_PARTIAL = {
    "participant_away": "participant (life) WHERE away > 0",
    "participant_away_by_time": "participant (away_until_ms) WHERE away > 0",
}


class Migration(migrations.Migration):
    dependencies = [("rooms", "0009_away")]

    initial = False
    atomic = False

    operations = [AddPartialIndex(name, rows) for name, rows in _PARTIAL.items()]
