"""What is pinned in rooms."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0009_warning")]

    initial = False

    operations = [
        ops.CreateModel(
            name="PinRow",
            fields=[
                ("slug", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=512)),
                ("life", fields.BigIntField()),
                ("version", fields.BigIntField()),
                (
                    "message",
                    fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads),
                ),
                ("moderator_user_id", fields.BigIntField()),
                ("changed_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "pin",
                "app": "moderation",
                "indexes": [
                    Index(fields=["version"], name="pin_by_version"),
                    Index(fields=["changed_at_ms"], name="pin_by_time"),
                ],
                "pk_attr": "slug",
                "table_description": "What is pinned in a slug, of the newest of its lives in which anything was.",
            },
            bases=["Model"],
        ),
    ]
