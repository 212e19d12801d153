"""The policies of rooms, and what is kept of their changes."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0005_outbox_indexes")]

    initial = False

    operations = [
        ops.AddField(
            "AuditRow",
            "details",
            fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads),
        ),
        ops.CreateModel(
            name="PolicyRow",
            fields=[
                ("slug", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=512)),
                ("version", fields.BigIntField()),
                ("policy", fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads)),
            ],
            options={
                "table": "policy",
                "app": "moderation",
                "indexes": [Index(fields=["version"], name="policy_by_version")],
                "pk_attr": "slug",
                "table_description": "The policy of the rooms of a slug, across their lives.",
            },
            bases=["Model"],
        ),
    ]
