"""Long work rests after each piece, in proportion to it, and never for long."""

from types import SimpleNamespace

import pytest

from audience import pacing
from audience.pacing import LONGEST_SECONDS, REST, Pacing


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0, rests=[])

    def sleep(seconds):
        clock.rests.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(pacing, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return clock


def test_a_rest_is_a_part_of_the_piece_before_it(clock):
    pace = Pacing()
    for took in (0.5, 0.0, 1.0, 3600.0):
        clock.now += took
        pace.rest()
    assert clock.rests == pytest.approx([0.5 * REST, 0.0, REST, LONGEST_SECONDS])
