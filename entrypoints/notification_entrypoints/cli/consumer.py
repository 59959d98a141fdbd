"""``consumer``: events from Kafka, and their deliveries."""

import os

import click

from notification_entrypoints.cli.examples import examples
from notification_entrypoints.cli.workers import workers_option
from notification_entrypoints.commands import consumer


@click.command("consumer", epilog=examples("consumer", "consumer --workers 4"))
@workers_option
def command(workers: int) -> None:
    """Take events from Kafka and deliver them, until it is stopped.

    It needs a database that was migrated (DB_URI, DB_ENCRYPTION_SECRET) and Kafka
    (KAFKA_BROKERS). All settings are environment variables.
    """
    consumer.run(os.environ, workers)
