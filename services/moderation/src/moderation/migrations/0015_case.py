"""Notes of moderators, and when users were first and last seen."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("moderation", "0018_revocation")]

    initial = False

    operations = [
        ops.CreateModel(
            name="NoteRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=512)),
                ("target_user_id", fields.BigIntField()),
                ("target_username", fields.CharField(max_length=255)),
                ("text", fields.TextField(unique=False)),
                ("author_user_id", fields.BigIntField()),
                ("author_username", fields.CharField(max_length=255)),
                ("author_rank", fields.SmallIntField()),
                ("created_at_ms", fields.BigIntField()),
            ],
            options={
                "table": "note",
                "app": "moderation",
                "indexes": [
                    Index(fields=["slug", "target_user_id", "target_username", "id"], name="note_by_target"),
                    Index(fields=["created_at_ms"], name="note_by_time"),
                ],
                "pk_attr": "id",
                "table_description": "What a moderator wrote of somebody, for the moderators of a slug.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="VisitRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.BigIntField()),
                ("slug", fields.CharField(max_length=512)),
                ("name", fields.CharField(max_length=255)),
                ("first_seen_ms", fields.BigIntField()),
                ("last_seen_ms", fields.BigIntField()),
            ],
            options={
                "table": "visit",
                "app": "moderation",
                "unique_together": (("user_id", "slug", "name"),),
                "indexes": [Index(fields=["last_seen_ms"], name="visit_by_time")],
                "pk_attr": "id",
                "table_description": "When a user was first and last in the rooms of a slug, under a name.",
            },
            bases=["Model"],
        ),
    ]
