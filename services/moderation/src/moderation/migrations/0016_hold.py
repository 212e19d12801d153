"""Messages that wait for a moderator, and what became of them."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0013_audit_by_kind")]

    initial = False

    operations = [
        ops.CreateModel(
            name="HoldRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=512)),
                ("log_partition", fields.IntField()),
                ("room_id", fields.BigIntField()),
                ("life", fields.BigIntField()),
                ("user_id", fields.BigIntField()),
                ("username", fields.CharField(max_length=255)),
                ("connection", fields.CharField(max_length=128)),
                ("address", fields.CharField(max_length=64)),
                ("rank", fields.SmallIntField()),
                ("role", fields.CharField(max_length=32)),
                ("text", fields.TextField(unique=False)),
                ("nonce", fields.CharField(max_length=64)),
                ("number", fields.BigIntField()),
                ("reply_to", fields.BigIntField()),
                ("rule_id", fields.BigIntField()),
                ("rule_name", fields.CharField(max_length=400)),
                ("state", fields.SmallIntField()),
                ("held_at_ms", fields.BigIntField()),
                ("decided_by", fields.BigIntField(default=0)),
                ("decided_at_ms", fields.BigIntField(null=True)),
                ("action_id", fields.BigIntField(null=True)),
            ],
            options={
                "table": "hold",
                "app": "moderation",
                "indexes": [
                    Index(fields=["decided_at_ms", "held_at_ms"], name="hold_by_end"),
                    Index(fields=["slug", "decided_at_ms", "id"], name="hold_by_slug"),
                    Index(fields=["user_id", "username", "decided_at_ms"], name="hold_by_author"),
                    Index(fields=["user_id", "nonce"], name="hold_by_nonce"),
                ],
                "pk_attr": "id",
                "table_description": "A message that waits for a moderator, or has waited.",
            },
            bases=["Model"],
        ),
    ]
