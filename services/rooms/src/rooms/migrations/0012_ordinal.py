"""How far an edge has come with the requests that carry ranks. An older replica leaves it alone."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0011_dormant_log")]

    initial = False

    operations = [ops.AddField("EdgeLeaseRow", "ordinal", fields.BigIntField(db_default=0))]
