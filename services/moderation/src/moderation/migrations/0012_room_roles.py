"""The roles of rooms."""

import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0017_feed")]

    initial = False

    operations = [
        ops.CreateModel(
            name="RoomRolesRow",
            fields=[
                ("slug", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=512)),
                ("version", fields.BigIntField()),
                ("owner", fields.BigIntField()),
                ("roles", fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads)),
            ],
            options={
                "table": "room_roles",
                "app": "moderation",
                "indexes": [
                    Index(fields=["version"], name="room_roles_by_version"),
                    Index(fields=["owner", "version"], name="room_roles_by_owner"),
                ],
                "pk_attr": "slug",
                "table_description": "The roles of the rooms of a slug, across their lives.",
            },
            bases=["Model"],
        ),
    ]
