"""The partition of a life's log. Null: nobody was there yet, or edges of before, whose messages are in another stream;
also what an older replica makes."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0007_kept_settings_indexes")]

    initial = False

    operations = [ops.AddField("RoomRow", "partition_number", fields.SmallIntField(null=True))]
