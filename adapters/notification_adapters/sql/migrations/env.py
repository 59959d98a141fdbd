"""What alembic runs: on the connection that it was given, or as text where it was given none."""

from alembic import context

from notification_adapters.sql.migrations.schema import VERSION_TABLE
from notification_adapters.sql.tables import SCHEMA

if context.is_offline_mode():
    context.configure(
        dialect_name=context.config.attributes["dialect"],
        literal_binds=True,
        version_table=VERSION_TABLE,
    )
else:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=SCHEMA,
        version_table=VERSION_TABLE,
        transaction_per_migration=False,
    )
context.run_migrations()
