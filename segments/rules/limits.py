"""How large a rule may be (rules.md 1.6). Settings may give others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The defaults are at least as wide as the widest of the systems that Muster replaces."""

    nodes: int = 1_000  # groups and conditions of a rule
    depth: int = 10
    saved_bytes: int = 1 << 20
    filters: int = 50  # on one event
    count: int = 10_000
    steps: int = 10
    least_window_minutes: int = 1
    window_days: int = 3_660
    list_values: int = 10_000
    text: int = 2_000
    pattern: int = 200
    segments: int = 1_000  # in one condition
    segment_depth: int = 10  # segments that use segments
    name: int = 255  # of an event, property or attribute
    name_steps: int = 20
    digits: int = 100  # of a number
    note: int = 500
    label: int = 100
    same: int = 3  # properties that the steps of a sequence share
