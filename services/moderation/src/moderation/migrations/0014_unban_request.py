"""Unban requests."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0014_report")]

    initial = False

    operations = [
        ops.CreateModel(
            name="UnbanRequestRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("sanction_id", fields.BigIntField()),
                ("slug", fields.CharField(max_length=512)),
                ("user_id", fields.BigIntField()),
                ("username", fields.CharField(max_length=255)),
                ("text", fields.CharField(max_length=500)),
                ("created_at_ms", fields.BigIntField()),
                ("state", fields.SmallIntField()),
                ("closed_at_ms", fields.BigIntField(null=True)),
                ("closed_by", fields.BigIntField()),
                ("note", fields.CharField(max_length=500)),
                ("evidence_erased_at_ms", fields.BigIntField(null=True)),
            ],
            options={
                "table": "unban_request",
                "app": "moderation",
                "indexes": [
                    Index(fields=["sanction_id", "id"], name="unban_request_by_sanction"),
                    Index(fields=["slug", "state", "id"], name="unban_request_by_slug"),
                    Index(fields=["user_id", "id"], name="unban_request_by_user"),
                    Index(fields=["created_at_ms"], name="unban_request_by_time"),
                ],
                "pk_attr": "id",
                "table_description": (
                    "What a banned user asked, of a slug, or of everywhere where that is empty. "
                    "Stays when it is decided."
                ),
            },
            bases=["Model"],
        ),
    ]
