"""Make the table."""

from tortoise import fields, migrations
from tortoise.migrations import operations


class Migration(migrations.Migration):
    """See the module."""

    initial = True
    operations = [
        operations.CreateModel(
            name="Thing",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("name", fields.CharField(unique=True, max_length=100)),
            ],
            options={"table": "thing", "app": "things", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]
