"""Tokens that were revoked."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0014_unban_request")]

    initial = False

    operations = [
        ops.CreateModel(
            name="RevocationRow",
            fields=[
                ("key", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=130)),
                ("user_id", fields.BigIntField()),
                ("jti", fields.CharField(max_length=128)),
                ("before_ms", fields.BigIntField()),
                ("until_ms", fields.BigIntField()),
                ("version", fields.BigIntField()),
            ],
            options={
                "table": "revocation",
                "app": "moderation",
                "indexes": [
                    Index(fields=["version"], name="revocation_by_version"),
                    Index(fields=["until_ms"], name="revocation_by_end"),
                ],
                "pk_attr": "key",
                "table_description": "One token, or what tokens a user had before a time, that edges refuse.",
            },
            bases=["Model"],
        ),
    ]
