"""Logs of lives that are over, until they are purged."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0010_away_indexes")]

    initial = False

    operations = [
        ops.CreateModel(
            name="DormantLogRow",
            fields=[
                ("life", fields.BigIntField(generated=False, primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=128)),
                ("room_id", fields.BigIntField()),
                ("partition_number", fields.SmallIntField(null=True)),
                ("created_ms", fields.BigIntField()),
                ("purge_after_ms", fields.BigIntField()),
                ("claimed_until_ms", fields.BigIntField(db_default=0)),
            ],
            options={
                "table": "dormant_log",
                "app": "rooms",
                "pk_attr": "life",
                "indexes": [
                    Index(fields=["purge_after_ms"], name="dormant_log_by_time"),
                    Index(fields=["slug"], name="dormant_log_by_slug"),
                    Index(fields=["room_id"], name="dormant_log_by_room"),
                ],
                "table_description": "The log of a life that is over, which may go on until it is to be purged.",
            },
            bases=["Model"],
        ),
    ]
