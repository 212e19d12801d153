"""Warnings, and what became of them."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0008_audit_indexes")]

    initial = False

    operations = [
        ops.CreateModel(
            name="WarningRow",
            fields=[
                ("id", fields.BigIntField(primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=512)),
                ("target_user_id", fields.BigIntField()),
                ("target_username", fields.CharField(max_length=255)),
                ("reason", fields.CharField(max_length=500)),
                ("moderator_user_id", fields.BigIntField()),
                ("moderator_rank", fields.SmallIntField()),
                ("created_at_ms", fields.BigIntField()),
                ("state", fields.SmallIntField()),
                ("delivered_at_ms", fields.BigIntField(null=True)),
                ("closed_at_ms", fields.BigIntField(null=True)),
                ("version", fields.BigIntField()),
            ],
            options={
                "table": "warning",
                "app": "moderation",
                "indexes": [
                    Index(fields=["version"], name="warning_by_version"),
                    Index(fields=["slug", "closed_at_ms"], name="warning_by_slug"),
                    Index(fields=["target_user_id", "target_username"], name="warning_by_target"),
                    Index(fields=["closed_at_ms", "created_at_ms"], name="warning_by_end"),
                ],
                "pk_attr": "id",
                "table_description": "A warning of somebody in the rooms of a slug. Stays when it is acknowledged.",
            },
            bases=["Model"],
        ),
    ]
