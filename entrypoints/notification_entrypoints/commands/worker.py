"""One of several worker processes: ``python -m notification_entrypoints.commands.worker …``.

It is for a supervisor to start, which keeps its standard input open and reads its standard output.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from notification_core.errors import NotificationError
from notification_entrypoints.commands.exit_codes import Exit, exit_of
from notification_entrypoints.serving.gc_tuning import import_without_gc

with import_without_gc():
    from notification_entrypoints.commands import api, consumer, up
    from notification_entrypoints.process.run import ServerCommand, run_worker
    from notification_entrypoints.process.runtime import UNREACHABLE
    from notification_entrypoints.serving.worker_channel import WorkerAddress, report_refusal

_COMMANDS: Mapping[str, ServerCommand] = {
    command.name: command for command in (api.COMMAND, consumer.COMMAND, up.command(None))
}


def main(arguments: Sequence[str]) -> int:
    """Serve as one of several, and return the exit code."""
    name, *address = arguments
    try:
        run_worker(_COMMANDS[name], os.environ, WorkerAddress.parse(address))  # noqa: TID251 - hands the environment to Settings
    except (NotificationError, OSError) as error:
        report_refusal(sys.stdout, str(error), passes=isinstance(error, UNREACHABLE))
        return exit_of(error)
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
