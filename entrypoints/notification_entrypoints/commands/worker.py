"""One of several worker processes: ``python -m notification_entrypoints.commands.worker …``.

It is for a supervisor to start, which keeps its standard input open and hears its standard output.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from notification_core.errors import NotificationError
from notification_entrypoints.commands.exit_codes import Exit, exit_of
from notification_entrypoints.serving.gc_tuning import imported_for_good

with imported_for_good():
    from notification_entrypoints.commands import api, consumer, up
    from notification_entrypoints.process import run
    from notification_entrypoints.process.run import ServerCommand
    from notification_entrypoints.process.runtime import UNREACHABLE
    from notification_entrypoints.serving.worker_channel import WorkerAddress, say_refused

_ROLES: Mapping[str, ServerCommand] = {
    each.command: each for each in (api.ROLE, consumer.ROLE, up.role(None))
}


def main(arguments: Sequence[str]) -> int:
    """Serve as one of several, and return the exit code."""
    command, *place = arguments
    try:
        run.run_worker(_ROLES[command], os.environ, WorkerAddress.of(place))  # noqa: TID251 - hands the environment to Settings
    except (NotificationError, OSError) as error:
        say_refused(sys.stdout, str(error), passes=isinstance(error, UNREACHABLE))
        return exit_of(error)
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
