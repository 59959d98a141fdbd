"""Where the time of a request went."""

from datetime import timedelta

import pytest

from notification_core.model.phases import REUSED, Phases

MS = timedelta(milliseconds=1)
OPENED = Phases(dns=2 * MS, connect=3 * MS, tls=5 * MS, first_byte=8 * MS)


def test_all_the_time_on_a_reused_connection_was_waiting() -> None:
    assert REUSED.within(12 * MS) == Phases(first_byte=12 * MS)


def test_what_was_read_for_was_not_waiting() -> None:
    assert Phases(read=7 * MS).within(12 * MS) == Phases(first_byte=5 * MS, read=7 * MS)


@pytest.mark.parametrize("phases", [OPENED, Phases(dns=9 * MS), Phases(connect=9 * MS)])
def test_the_phases_of_a_new_connection_are_what_was_measured(phases: Phases) -> None:
    assert not phases.is_reused
    assert phases.within(20 * MS) == phases
