"""What an add or a remove makes of a membership (pixels.md 2.1 to 2.3)."""

import pytest

from audience.instants import HOUR, Instant, instant
from segments.membership import Change, Interval, decide
from segments.models import LARGEST_VALUE, Cause
from tests.factories import NOON

START = instant(NOON)
Asked = tuple[Change, Instant]


def at(hours: float) -> Instant:
    return START + int(hours * HOUR)


def add(hours: float, *, keep: float = 24, value: int | None = None, **terms: str) -> Asked:
    return Change("add", 12, 1, lifetime=int(keep * HOUR), value=value, **terms), at(hours)


def remove(hours: float) -> Asked:
    return Change("remove", 12, 1), at(hours)


def play(*changes: Asked) -> tuple[Interval, list[tuple[str, float, str]], int, list[str]]:
    """Apply changes one after the other; return the last row, the steps in hours, the loads and the notes."""
    row, steps, loads, notes = None, [], 0, []
    for change in changes:
        decision = decide(row, *change)
        row = decision.interval
        steps += [(step.change, (step.at - START) / HOUR, step.cause.value) for step in decision.steps]
        loads += decision.is_load
        notes += decision.notes
    assert row is not None
    return row, steps, loads, notes


@pytest.mark.parametrize(
    ("changes", "interval", "value", "steps", "loads", "notes"),
    [
        pytest.param([add(0)], (0, 24), None, [("join", 0, "fact")], 1, [], id="add, not a member"),
        pytest.param([add(0), add(2)], (0, 26), None, [("join", 0, "fact")], 2, [], id="add, member: time afresh"),
        pytest.param([add(0), add(2, keep=1)], (0, 3), None, [("join", 0, "fact")], 2, [], id="even if sooner"),
        pytest.param(
            [add(0), add(2, refire="keep")], (0, 24), None, [("join", 0, "fact")], 2, [], id="leave the end"
        ),
        pytest.param(
            [add(0), remove(3)], (0, 3), None, [("join", 0, "fact"), ("leave", 3, "fact")], 1, [], id="remove, member"
        ),
        pytest.param([remove(3)], (3, 3), None, [], 0, ["not_a_member"], id="remove, never seen"),
        pytest.param(
            [add(0, keep=1), remove(3)], (0, 1), None, [("join", 0, "fact")], 1, ["not_a_member"], id="remove, over"
        ),
        pytest.param(
            [add(0, keep=1), add(3)],
            (3, 27),
            None,
            [("join", 0, "fact"), ("leave", 1, "time"), ("join", 3, "fact")],
            2,
            [],
            id="again after the end: the leave that nobody published comes first",
        ),
        pytest.param([add(0, value=5), add(2)], (0, 26), 5, [("join", 0, "fact")], 2, [], id="no value keeps it"),
        pytest.param([add(0, value=5), add(2, value=0)], (0, 26), 0, [("join", 0, "fact")], 2, [], id="0 is a value"),
        pytest.param(
            [add(0, value=5), add(2, value=3, re_add="highest")],
            (0, 26),
            5,
            [("join", 0, "fact")],
            2,
            [],
            id="highest",
        ),
        pytest.param(
            [add(0, value=5), add(2, value=3, re_add="sum")], (0, 26), 8, [("join", 0, "fact")], 2, [], id="added up"
        ),
        pytest.param(
            [add(0, value=LARGEST_VALUE), add(2, value=1, re_add="sum")],
            (0, 26),
            LARGEST_VALUE,
            [("join", 0, "fact")],
            2,
            ["value_capped"],
            id="capped",
        ),
        pytest.param(
            [add(0, keep=1, value=5), add(3)],
            (3, 27),
            None,
            [("join", 0, "fact"), ("leave", 1, "time"), ("join", 3, "fact")],
            2,
            [],
            id="a value ends with its membership",
        ),
        pytest.param(
            [add(5, value=2), add(2, keep=1, value=9)],
            (5, 29),
            2,
            [("join", 5, "fact")],
            2,
            ["older_than_last"],
            id="late add: the later decides end and value",
        ),
        pytest.param(
            [remove(5), add(2)], (5, 5), None, [], 1, ["not_a_member", "older_than_last"], id="late add, taken back"
        ),
        pytest.param(
            [add(5), remove(2)], (5, 29), None, [("join", 5, "fact")], 1, ["older_than_last"], id="late remove"
        ),
    ],
)
def test_upsert_table(changes, interval, value, steps, loads, notes):
    row, got_steps, got_loads, got_notes = play(*changes)

    assert (row.starts_at, row.expires_at) == (at(interval[0]), at(interval[1]))
    assert row.value == value
    assert got_steps == steps
    assert got_loads == loads
    assert got_notes == notes


def test_the_example_of_the_specification():
    """10:00 joins for two days with value 5; 11:00 keep=1h ends at 12:00 and keeps the value; 12:00 is out."""
    row, *_ = play(add(10, keep=48, value=5), add(11, keep=1))

    assert row.value == 5
    assert row.holds_at(at(11.99))
    assert not row.holds_at(at(12))


def test_the_end_is_swept_only_once_and_never_too_late():
    row, *_ = play(add(0, keep=10), add(1, keep=10))
    assert row.sweep_at == at(10), "a re-fire that moves the end away leaves it: the update stays HOT"

    row, *_ = play(add(0, keep=10), add(1, keep=2))
    assert row.sweep_at == at(3)

    row, *_ = play(add(0, keep=10), remove(1))
    assert row.sweep_at is None, "the leave is published with the remove"


def test_a_remove_carries_its_cause():
    decision = decide(decide(None, *add(0)).interval, Change("remove", 12, 1, cause=Cause.API), at(1))

    assert [(step.change, step.cause) for step in decision.steps] == [("leave", "api")]


def swept(interval: Interval) -> Interval:
    """The row after the sweeper has published its end."""
    return interval._replace(sweep_at=None)


def test_a_late_add_takes_back_a_leave_that_was_published_already():
    row = swept(decide(None, *add(0, keep=10)).interval)

    decision = decide(row, *add(5, keep=10))
    assert [(step.change, step.at) for step in decision.steps] == [("join", at(10))]
    assert (decision.interval.starts_at, decision.interval.expires_at) == (at(0), at(15))
    assert decision.interval.sweep_at == at(15)

    shorter = decide(row, *add(5, keep=1))
    assert (shorter.steps, shorter.interval.expires_at, shorter.interval.sweep_at) == ((), at(6), None)


def test_a_late_remove_publishes_no_second_leave():
    row = swept(decide(None, *add(0, keep=10)).interval)

    decision = decide(row, *remove(5))
    assert decision.steps == ()
    assert decision.interval.expires_at == at(5)
