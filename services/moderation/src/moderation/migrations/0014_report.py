"""Reports of viewers."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0012_room_roles")]

    initial = False

    operations = [
        ops.CreateModel(
            name="ReportRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=512)),
                ("reporter_user_id", fields.BigIntField()),
                ("reporter_username", fields.CharField(max_length=255)),
                ("category", fields.SmallIntField()),
                ("note", fields.CharField(max_length=500)),
                ("target_user_id", fields.BigIntField()),
                ("target_username", fields.CharField(max_length=255)),
                ("message_id", fields.BigIntField(null=True)),
                ("message_at_ms", fields.BigIntField(null=True)),
                ("message_text", fields.TextField(null=True, unique=False)),
                (
                    "before_ids",
                    fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads),
                ),
                ("after_ids", fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads)),
                ("created_at_ms", fields.BigIntField()),
                ("state", fields.SmallIntField()),
                ("closed_at_ms", fields.BigIntField(null=True)),
                ("closed_by", fields.BigIntField()),
                ("evidence_erased_at_ms", fields.BigIntField(null=True)),
            ],
            options={
                "table": "report",
                "app": "moderation",
                "unique_together": (("reporter_user_id", "message_id"),),
                "indexes": [
                    Index(fields=["slug", "state", "id"], name="report_by_slug"),
                    Index(fields=["reporter_user_id", "created_at_ms"], name="report_by_reporter"),
                    Index(fields=["target_user_id", "target_username", "id"], name="report_by_target"),
                    Index(fields=["created_at_ms"], name="report_by_time"),
                ],
                "pk_attr": "id",
                "table_description": (
                    "What a viewer reported, with the message as it was said. Stays when it is decided."
                ),
            },
            bases=["Model"],
        ),
    ]
