"""How many may wait: what is sent in a given time, within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from notification_core.dispatch.pace import SHARED_SECONDS, Pace

TICKS = st.lists(st.tuples(st.floats(0.05, 2), st.integers(0, 20_000)), max_size=30)


@given(ticks=TICKS, most=st.integers(1, 20_000), seconds=st.sampled_from([SHARED_SECONDS, 10.0]))
def test_what_may_wait_is_what_the_best_of_the_last_seconds_would_send_in_time(
    ticks: list[tuple[float, int]], most: int, seconds: float
) -> None:
    pace, now = Pace(most), 100.0
    pace.seconds = seconds
    pace.update(now)
    best: list[tuple[float, float]] = []
    for elapsed, ended in ticks:
        pace.ended += ended
        now += elapsed
        pace.update(now)
        best.append((now, ended / elapsed))
        may_wait = max(rate for at, rate in best if at > now - 5) * seconds
        assert abs(pace.most_waiting - min(most, max(2000, may_wait))) <= 1 + may_wait * 1e-9
    assert min(most, 2000) <= pace.most_waiting <= most


def test_before_anything_was_sent_two_thousand_may_wait() -> None:
    pace = Pace(20_000)
    pace.update(0.0)
    pace.update(0.0)
    assert pace.most_waiting == 2000
