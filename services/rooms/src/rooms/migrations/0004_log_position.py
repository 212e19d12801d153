"""Up to where the sequences of the log were given out."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0003_indexes")]

    initial = False

    operations = [
        ops.CreateModel(
            name="LogPositionRow",
            fields=[
                (
                    "partition_number",
                    fields.SmallIntField(generated=False, primary_key=True, unique=True, db_index=True),
                ),
                ("highest", fields.BigIntField()),
                ("resumed", fields.BigIntField()),
            ],
            options={
                "table": "log_position",
                "app": "rooms",
                "pk_attr": "partition_number",
                "table_description": "The highest sequence of one partition of the log, only ever raised.",
            },
            bases=["Model"],
        ),
    ]
