"""The rest of the storage contract on tables that are partitioned by environment."""

# ruff: noqa: F403 - a contract's tests are run here once more, over another kind of connection

import pytest

from tests.adapters.test_postgres_partitions import harness
from tests.contracts.test_circuit_breaker import *
from tests.contracts.test_history import *
from tests.contracts.test_log_store import *
from tests.contracts.test_ordering import *
from tests.contracts.test_retention import *
from tests.contracts.test_signing_keys import *
from tests.contracts.test_unsendable import *

__all__ = ["harness"]

pytestmark = pytest.mark.long
