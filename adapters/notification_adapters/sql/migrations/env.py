"""What alembic runs: it works on the connection that it was given, and opens none itself."""

from alembic import context

from notification_adapters.sql.migrations.schema import VERSION_TABLE
from notification_adapters.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transaction_per_migration=False,
)
context.run_migrations()
