"""``consumer``: events from Kafka, and their deliveries."""

import os

import click

from notification_entrypoints import consumer
from notification_entrypoints.cli.examples import examples


@click.command("consumer", epilog=examples("consumer"))
def command() -> None:
    """Take events from Kafka and deliver them, until it is stopped.

    It needs a database that was migrated (DB_URI, DB_ENCRYPTION_SECRET) and Kafka
    (KAFKA_BROKERS). All settings are environment variables.
    """
    consumer.run(os.environ)
