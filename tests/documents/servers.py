"""PostgreSQL and PgBouncer for the pages that need them, at the names that these pages use.

They run outside of the page's network, which is connected to their sockets by ``relay``.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres_server import find_pgbouncer, find_programs, pgbouncer, started

MARK = "<!-- documents: needs PostgreSQL -->"
HOSTS = """\
127.0.0.1 localhost db.example.com one.example.com pgbouncer.example.com
127.0.0.2 two.example.com
"""
_NOBODY = 65534


def missing(network: Sequence[str]) -> str | None:
    """Return why pages that need a database cannot run here, None if they can."""
    if not network:
        return "it needs a network of its own (user namespaces)"
    if find_programs() is None or find_pgbouncer() is None:
        return "it needs PostgreSQL and PgBouncer: apt-get install postgresql pgbouncer"
    return None


@contextmanager
def databases(folder: Path) -> Iterator[Mapping[str, str]]:
    """Give what is set in the environment of the page in a folder, while its servers run."""
    programs, pooler = find_programs(), find_pgbouncer()
    assert programs is not None
    assert pooler is not None
    sockets = folder / "sockets"
    sockets.mkdir()
    folder.chmod(0o711)
    if os.geteuid() == 0:
        os.chown(sockets, _NOBODY, _NOBODY)
    (folder / "hosts").write_text(HOSTS)
    with (
        started(programs, unix_socket_directories=str(sockets)) as server,
        pgbouncer(server, pooler, sockets) as port,
    ):
        reached = [f"5432={sockets}/.s.PGSQL.{server.port}", f"6432={sockets}/.s.PGSQL.{port}"]
        yield {
            "RELAY": " ".join(
                [sys.executable, str(Path(__file__).with_name("relay.py")), *reached]
            ),
            "ADMINISTRATOR": f"host={sockets} port={server.port} user=postgres",
        }
