"""Whatever the rule and the course of things, the memberships are what the timeline says, at every instant.

Facts come in batches of any size and late, people are merged, the rule is edited, the sweeper comes by or not.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audience.instants import instant
from audience.messages import Message
from audience.models import Identifier
from segments import recount, rulebook
from segments.building import build
from segments.membership import holds
from segments.models import Membership, Segment, Transition
from segments.rules.nodes import walk
from segments.rules.touching import parts
from segments.rules.tree import Rule, SegmentCondition, TimeCondition
from segments.rules.windows import Anniversary
from segments.rules.writing import write
from segments.surroundings import surroundings_of
from segments.sweeper import sweep
from segments.versions import save_rule
from tests.factories import make_segment
from tests.segments.engine.scene import Shop
from tests.segments.rules.database import ask_many
from tests.segments.rules.scenes import STARTS, STEPS, contexts, properties
from tests.segments.rules.stored import as_json
from tests.segments.rules.strategies import rules

pytestmark = pytest.mark.django_db
NOW = timedelta(0)


@dataclass(frozen=True)
class Told:
    """Something that comes so long after what came before it, and happened so long before it comes."""

    who: str
    kind: str  # an event's name, or "identify", "merge", "edit"
    after: timedelta
    late: timedelta
    said: Any
    context: Any
    is_with_last: bool  # in one batch with what came before


kinds = st.sampled_from(["view", "view", "view", "buy", "buy", "add", "identify", "merge", "edit"])
told = st.builds(
    Told,
    st.sampled_from(["p", "p", "q"]),
    kinds,
    st.sampled_from([*STEPS, NOW]),
    st.sampled_from([NOW, NOW, *STEPS]),
    properties,
    contexts,
    st.booleans(),
)
traits = ("plan", "category")


def is_plain(rule: Rule) -> bool:
    """Leave out what asks about other segments, and what is written out anew from time to time."""
    if any(isinstance(node, SegmentCondition) for node in walk(rule.root)):
        return False
    return not any(isinstance(part, TimeCondition | Anniversary) for part in parts(rule))


class Course:
    """An advertiser with one segment by a rule, and what happens to it."""

    def __init__(self, rule: Rule, start: datetime) -> None:
        self.shop, self.now = Shop(), start
        self.segment = make_segment(self.shop.advertiser, code="r", kind=Segment.Kind.RULE)
        self.edit(rule)
        self.waiting: list[Message] = []

    def edit(self, rule: Rule) -> None:
        self.rule = rule
        save_rule(self.segment, write(rule), at=self.now)
        build(now=self.now)
        self.segment.refresh_from_db()
        rulebook.refresh()

    def message(self, one: Told) -> Message:
        occurred_at = instant(self.now - one.late)
        is_event = one.kind not in ("identify", "merge")
        said = {name: value for name, value in one.said.items() if name in traits or is_event}
        return Message(
            id=UUID(int=next(self.shop._numbers)).bytes,
            kind="track" if is_event else "identify",
            advertiser_id=self.shop.advertiser.pk,
            received_at=instant(self.now),
            occurred_at=occurred_at,
            own=self.shop.key(one.who),
            proven=(self.shop.key("customer_id:c"),) if one.kind == "merge" else (),
            event=one.kind if is_event else "",
            properties=as_json(said) if is_event else "{}",
            context=as_json(one.context) if is_event else "{}",
            traits="{}" if is_event else as_json(said),
        )

    def commit(self) -> None:
        if self.waiting:
            self.shop.send(*self.waiting)
            self.waiting = []

    def check(self, at: datetime, *, is_swept: bool) -> None:
        """Compare the rows with the timeline; who is in by the rows alone is never out by the rule."""
        if is_swept:
            sweep(at)
        ids = list(
            Identifier.all_advertisers.filter(advertiser=self.shop.advertiser).values_list("profile_id", flat=True)
        )
        around = surroundings_of(self.shop.advertiser.pk)
        timelines = ask_many(self.rule, ids, at, around)
        expected = {id_ for id_, ranges in timelines.items() if ranges and ranges[0][0] == at}
        rows = Membership.all_advertisers.filter(holds(at), segment=self.segment)
        found = set(rows.values_list("profile_id", flat=True))
        assert found == expected if is_swept else found <= expected

    def check_books(self) -> None:
        """Joins and leaves alternate, and the numbers are those of a real count."""
        own = f"size of segment {self.segment.pk} of"
        assert not [str(one) for one in recount.differences_of_snapshot(self.now) if one.what.startswith(own)]
        steps: dict[Any, list[str]] = {}
        order = Transition.all_advertisers.filter(segment=self.segment).order_by("at", F("change"))
        for row in order:
            steps.setdefault(row.profile_id, []).append(row.change)
        for some in steps.values():
            assert abs(some.count("join") - some.count("leave")) <= 1


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rules().filter(is_plain),
    rules().filter(is_plain),
    st.sampled_from(STARTS),
    st.lists(told, min_size=1, max_size=7),
    st.lists(st.tuples(st.sampled_from([*STEPS, timedelta(days=5)]), st.booleans()), max_size=3),
)
def test_memberships_are_what_the_timeline_says(rule, other, start, happening, probes):
    rulebook.forget()
    course = Course(rule, start)
    for one in happening:
        if not one.is_with_last or one.kind == "edit":
            course.commit()
            course.check(course.now, is_swept=False) if one.late else None
        course.now += one.after + timedelta(microseconds=1)
        if one.kind == "edit":
            course.edit(other)
        else:
            course.waiting.append(course.message(one))
    course.commit()
    course.check(course.now, is_swept=True)
    for after, is_swept in probes:
        course.now += after
        course.check(course.now, is_swept=is_swept)
    course.check_books()
