"""What a command has written."""

from typing import TypeAlias

import pytest

Output: TypeAlias = pytest.CaptureFixture[str]
