"""Emotes, when they last changed, and whom users have blocked."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0012_ordinal")]

    initial = False

    operations = [
        ops.CreateModel(
            name="EmoteRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=128)),
                ("name", fields.CharField(max_length=100)),
                ("url", fields.CharField(max_length=500)),
                ("alt", fields.CharField(max_length=200)),
                ("created_by", fields.BigIntField()),
                ("created_ms", fields.BigIntField()),
            ],
            options={
                "table": "emote",
                "app": "rooms",
                "pk_attr": "id",
                "unique_together": (("slug", "name"),),
                "table_description": "An image that is shown in place of :name:, in rooms of a slug or everywhere.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="EmoteChangeRow",
            fields=[
                ("slug", fields.CharField(max_length=128, primary_key=True, unique=True, db_index=True)),
                ("version", fields.BigIntField()),
            ],
            options={
                "table": "emote_change",
                "app": "rooms",
                "pk_attr": "slug",
                "indexes": [Index(fields=["version"], name="emote_change_by_version")],
                "table_description": "The version of the last change of a slug's emotes.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="BlockRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("blocked_user_id", fields.BigIntField()),
                ("created_ms", fields.BigIntField()),
            ],
            options={
                "table": "block",
                "app": "rooms",
                "pk_attr": "id",
                "unique_together": (("user_id", "blocked_user_id"),),
                "table_description": "Whom a user does not want to read.",
            },
            bases=["Model"],
        ),
    ]
