"""When settings were last used. Null: unknown, as what an older replica wrote; the next sweep takes it for now."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0005_ended_life")]

    initial = False

    operations = [ops.AddField("KeptSettingsRow", "last_used_ms", fields.BigIntField(null=True))]
