"""Memberships of connections that the server closed with 1012, by participant. An older replica leaves them alone."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0008_partition")]

    initial = False

    operations = [
        ops.AddField("ParticipantRow", "away", fields.IntField(db_default=0)),
        ops.AddField("ParticipantRow", "away_until_ms", fields.BigIntField(null=True)),
    ]
