"""What the moderators of a room are told, in one order."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0011_rules")]

    initial = False

    operations = [
        ops.CreateModel(
            name="FeedEventRow",
            fields=[
                ("id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=512)),
                ("previous_id", fields.BigIntField()),
                ("number", fields.BigIntField()),
                ("kind", fields.CharField(max_length=32)),
                ("data", fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads)),
                ("action_id", fields.BigIntField(null=True)),
                ("at_ms", fields.BigIntField()),
            ],
            options={
                "table": "feed_event",
                "app": "moderation",
                "indexes": [Index(fields=["slug", "id"], name="feed_event_by_slug")],
                "pk_attr": "id",
                "table_description": "Something that the moderators of a slug are told. "
                "Kept for a day, and no more than some 600 of a slug.",
            },
            bases=["Model"],
        ),
    ]
