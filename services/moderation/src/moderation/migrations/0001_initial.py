import functools
from json import dumps, loads

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="AuditRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("action", fields.SmallIntField()),
                ("target_user_id", fields.BigIntField()),
                ("target_username", fields.CharField(max_length=255)),
                ("moderator_user_id", fields.BigIntField()),
                ("moderator_rank", fields.SmallIntField()),
                ("duration_minutes", fields.IntField()),
                ("scope", fields.SmallIntField()),
                ("slug", fields.CharField(max_length=512)),
                ("reason", fields.CharField(max_length=500)),
                ("at_ms", fields.BigIntField()),
                ("imposed_id", fields.BigIntField(null=True)),
                (
                    "lifted_ids",
                    fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads),
                ),
                ("followed_address", fields.CharField(null=True, max_length=64)),
            ],
            options={
                "table": "audit",
                "app": "moderation",
                "pk_attr": "id",
                "table_description": "One thing that was done. Its id is the id of the event.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SanctionAddressRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("sanction_id", fields.BigIntField()),
                ("address", fields.CharField(max_length=64)),
            ],
            options={
                "table": "sanction_address",
                "app": "moderation",
                "unique_together": (("sanction_id", "address"),),
                "indexes": [Index(fields=["address"], name="sanction_address_by_address")],
                "pk_attr": "id",
                "table_description": "An address from which anonymous connections are held by a sanction.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SanctionRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("kind", fields.SmallIntField()),
                ("target_user_id", fields.BigIntField()),
                ("target_username", fields.CharField(max_length=255)),
                ("slug", fields.CharField(null=True, max_length=512)),
                ("reason", fields.CharField(max_length=500)),
                ("moderator_user_id", fields.BigIntField()),
                ("moderator_rank", fields.SmallIntField()),
                ("created_at_ms", fields.BigIntField()),
                ("expires_at_ms", fields.BigIntField(null=True)),
                ("lifted_at_ms", fields.BigIntField(null=True)),
            ],
            options={
                "table": "sanction",
                "app": "moderation",
                "indexes": [
                    Index(fields=["target_user_id", "lifted_at_ms"], name="sanction_by_target"),
                    Index(fields=["slug", "id"], name="sanction_by_slug"),
                    Index(fields=["lifted_at_ms", "expires_at_ms"], name="sanction_in_force"),
                ],
                "pk_attr": "id",
                "table_description": "One ban or mute. The row stays when it is over.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SightingRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("name", fields.CharField(max_length=255)),
                ("slug", fields.CharField(max_length=512)),
                ("address", fields.CharField(max_length=64)),
                ("seen_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "sighting",
                "app": "moderation",
                "unique_together": (("user_id", "name", "slug", "address"),),
                "indexes": [Index(fields=["seen_at_ms"], name="sighting_by_time")],
                "pk_attr": "id",
                "table_description": "When somebody was last seen in a room from an address.",
            },
            bases=["Model"],
        ),
    ]
