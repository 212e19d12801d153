"""Lives that are over and whose participants are still to be removed."""

from tortoise import fields, migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0004_log_position")]

    initial = False

    operations = [
        ops.CreateModel(
            name="EndedLifeRow",
            fields=[
                ("life", fields.BigIntField(generated=False, primary_key=True, unique=True, db_index=True)),
                ("reap_after_ms", fields.BigIntField()),
            ],
            options={
                "table": "ended_life",
                "app": "rooms",
                "pk_attr": "life",
                "indexes": [Index(fields=["reap_after_ms"], name="ended_life_by_time")],
                "table_description": (
                    "A life that is over and whose participants and connections are still to be removed."
                ),
            },
            bases=["Model"],
        ),
    ]
