"""What the stores need of an engine; each engine has a folder of its own beside this module."""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.dialect import Dialect
from notification_adapters.sql.statements import ResultRow, Statement
from notification_core.ports.storage import OnTransactionEnd


class Database(Protocol):
    """Transactions to write in and to read in, and the statements to run in them."""

    dialect: Dialect
    """The statements in this engine's SQL."""

    has_one_writer: bool
    """Whether writers wait for one another: then it pays to look through a reader first."""

    schema: str | None
    """The schema that all tables are in, where the engine has such and it is not the usual one."""

    @abstractmethod
    def write_transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction: committed where the block ends, rolled back where it raises."""

    @abstractmethod
    def read_transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a consistent view of the database that cannot be written to."""

    @abstractmethod
    def query(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a view for one statement alone, which is consistent without a transaction."""

    @abstractmethod
    async def fetch(self, statement: Statement, **values: object) -> Sequence[ResultRow]:
        """Run one statement that reads, in a view of its own, and return its rows."""

    @abstractmethod
    def migration_transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open a transaction that may take long, and that no other migration runs beside."""

    @abstractmethod
    async def lock_environment(self, connection: AsyncConnection, environment_id: UUID) -> None:
        """Let others that lock the same environment wait until this transaction ends."""

    @abstractmethod
    def borrow(self, connection: AsyncConnection) -> AbstractAsyncContextManager[None]:
        """Have our tables found on a connection of somebody else's, within their transaction.

        Raises :class:`StorageUnusable` where it is no connection to this kind of database.
        """

    @abstractmethod
    async def confirm_found(self, connection: AsyncConnection) -> None:
        """Have this transaction's commit return only once all that it has found is durable, too.

        To be called before a request is acknowledged because of a row that was found: the row's
        own commit may have failed to reach a synchronous standby, and a transaction that writes
        nothing does not wait for one.
        """

    @abstractmethod
    async def check_commits(self) -> None:
        """Raise :class:`StorageUnavailable` if a commit has not finished for over 5 s.

        If nothing has been committed for 10 s, a probe is.
        """

    @abstractmethod
    def observe_transactions(self, on_end: OnTransactionEnd) -> None:
        """Call back whenever a transaction has ended, and its connection is free again."""

    @property
    @abstractmethod
    def open_transactions(self) -> int:
        """How many transactions are open now: none while nothing happens."""

    @property
    @abstractmethod
    def max_transactions(self) -> int:
        """How many transactions can be open at the same time; others wait."""
