"""What commands have to do in the logs of rooms, and what is kept of messages that were taken back."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0003_open_indexes")]

    initial = False

    operations = [
        ops.AddField("AuditRow", "nonce", fields.CharField(null=True, max_length=64)),
        ops.AddField("AuditRow", "message_id", fields.BigIntField(null=True)),
        ops.AddField("AuditRow", "message_text", fields.TextField(null=True)),
        ops.AddField("AuditRow", "purged", fields.BooleanField(null=True)),
        ops.CreateModel(
            name="OutboxRow",
            fields=[
                ("action_id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("kind", fields.SmallIntField()),
                ("log_partition", fields.IntField()),
                ("room_id", fields.BigIntField()),
                ("life", fields.BigIntField()),
                ("details", fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads)),
                ("entry_id", fields.BigIntField(null=True)),
                ("attempts", fields.IntField(default=0)),
                ("made_at_ms", fields.BigIntField()),
                ("resolved_at_ms", fields.BigIntField(null=True)),
                ("due_at_ms", fields.BigIntField()),
                ("claim", fields.CharField(max_length=32)),
                ("done_at_ms", fields.BigIntField(null=True)),
            ],
            options={
                "table": "outbox",
                "app": "moderation",
                "pk_attr": "action_id",
                "table_description": "What a command has to do in the log of a room. Stays a while when that is done.",
            },
            bases=["Model"],
        ),
    ]
