"""An index on a part of the rows."""

from tortoise import migrations

from chassis.index_operations import AddPartialIndex


class Migration(migrations.Migration):
    """See the module."""

    dependencies = [("things", "0001_initial")]
    initial = False
    atomic = False
    operations = [AddPartialIndex("thing_long", "thing (name) WHERE length(name) > 10")]
