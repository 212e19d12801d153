"""The first tables."""

# ruff: noqa: E501 - the form that the migration writer gives it

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="ConnectionRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("edge", fields.CharField(max_length=32)),
                ("number", fields.BigIntField()),
                ("life", fields.BigIntField(db_index=True)),
                ("participant_id", fields.BigIntField(db_index=True)),
                ("rank", fields.SmallIntField()),
                ("stale", fields.BooleanField(db_default=False)),
            ],
            options={
                "table": "connection",
                "app": "rooms",
                "unique_together": (("edge", "number"),),
                "pk_attr": "id",
                "table_description": "One open connection.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="CounterRow",
            fields=[
                ("name", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ("next", fields.BigIntField()),
            ],
            options={
                "table": "counter",
                "app": "rooms",
                "pk_attr": "name",
                "table_description": "The next public room id that the server chooses.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="DeletedSlugRow",
            fields=[
                ("slug", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=128)),
                ("last_life", fields.BigIntField()),
                ("deleted_ms", fields.BigIntField()),
            ],
            options={
                "table": "deleted_slug",
                "app": "rooms",
                "pk_attr": "slug",
                "table_description": "What deleteChatRoom ended: no edge may register this life, or an earlier one, again.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="EdgeLeaseRow",
            fields=[
                ("edge", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ("expires_ms", fields.BigIntField()),
            ],
            options={
                "table": "edge_lease",
                "app": "rooms",
                "pk_attr": "edge",
                "table_description": "How long an edge incarnation is believed to live, by the clock of the database.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="InvitationRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("slug", fields.CharField(max_length=128)),
                ("user_id", fields.BigIntField()),
                ("invited_by", fields.BigIntField()),
                ("created_ms", fields.BigIntField()),
            ],
            options={
                "table": "invitation",
                "app": "rooms",
                "unique_together": (("slug", "user_id"),),
                "pk_attr": "id",
                "table_description": "Who may enter a private slug.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="KeptSettingsRow",
            fields=[
                ("slug", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=128)),
                ("room_id", fields.BigIntField(unique=True)),
                ("owner", fields.BigIntField(null=True)),
                ("name", fields.CharField(max_length=200)),
                ("description", fields.TextField(null=True, unique=False)),
                ("is_public", fields.BooleanField()),
                ("allow_anonymous", fields.BooleanField()),
                ("created_ms", fields.BigIntField()),
            ],
            options={
                "table": "kept_settings",
                "app": "rooms",
                "pk_attr": "slug",
                "table_description": "What holds against a slug and survives its rooms.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ParticipantRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("life", fields.BigIntField()),
                ("key", fields.CharField(max_length=64)),
                ("user_id", fields.BigIntField(null=True, db_index=True)),
                ("username", fields.TextField(unique=False)),
                ("connections", fields.IntField()),
                ("announced", fields.BooleanField()),
                ("joined_ms", fields.BigIntField()),
                ("version", fields.BigIntField()),
            ],
            options={
                "table": "participant",
                "app": "rooms",
                "unique_together": (("life", "key"),),
                "pk_attr": "id",
                "table_description": "A person in one life of a room. Users stay when they go offline, anonymous ones do not.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RoomRow",
            fields=[
                ("life", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("room_id", fields.BigIntField(unique=True)),
                ("slug", fields.CharField(unique=True, max_length=128)),
                ("created_ms", fields.BigIntField()),
                ("connection_count", fields.IntField(db_default=0)),
                ("version", fields.BigIntField(db_default=0)),
                ("crowded", fields.BooleanField(db_default=False)),
                ("visited", fields.BooleanField(db_default=False)),
                ("empty_since_ms", fields.BigIntField(null=True)),
            ],
            options={
                "table": "room",
                "app": "rooms",
                "pk_attr": "life",
                "table_description": "One life of a room. The primary key is the life and never used again.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="VideoRow",
            fields=[
                ("id", fields.BigIntField(generated=False, primary_key=True, unique=True, db_index=True)),
                ("title", fields.CharField(max_length=200)),
                ("created_ms", fields.BigIntField()),
            ],
            options={
                "table": "video",
                "app": "rooms",
                "pk_attr": "id",
                "table_description": "The catalogue of videos that the service keeps itself.",
            },
            bases=["Model"],
        ),
    ]
