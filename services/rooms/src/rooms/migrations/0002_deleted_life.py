"""Every life that was deleted, also the earlier ones of a slug that was deleted again."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("rooms", "0001_first")]

    initial = False

    operations = [
        ops.CreateModel(
            name="DeletedLifeRow",
            fields=[
                ("life", fields.BigIntField(generated=False, primary_key=True, unique=True, db_index=True)),
                ("deleted_ms", fields.BigIntField()),
            ],
            options={
                "table": "deleted_life",
                "app": "rooms",
                "pk_attr": "life",
                "table_description": "A life that deleteChatRoom ended: who asks for it is told so.",
            },
            bases=["Model"],
        ),
    ]
