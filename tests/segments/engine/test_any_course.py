"""Whatever the rule and the course of things, the memberships are what the timeline says, at every instant.

Facts come in batches of any size and late, people are merged, pixels put them into another segment and take them out,
the rule is edited, the sweeper comes by or not.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audience.instants import instant
from audience.messages import Message
from audience.models import Identifier
from pixels.facts import Fire
from segments import recount, rulebook
from segments.building import build
from segments.membership import Change, holds
from segments.models import Membership, Segment, Transition
from segments.rules.touching import parts
from segments.rules.tree import Rule, TimeCondition
from segments.rules.windows import Anniversary
from segments.rules.writing import write
from segments.surroundings import surroundings_of
from segments.sweeper import sweep
from segments.versions import save_rule
from tests.factories import make_segment
from tests.segments.engine.door import Door
from tests.segments.engine.scene import Shop
from tests.segments.rules.database import ask_many
from tests.segments.rules.scenes import RULES, STARTS, STEPS, contexts, properties
from tests.segments.rules.stored import as_json
from tests.segments.rules.strategies import rules

pytestmark = pytest.mark.django_db
NOW, HALF_A_DAY = timedelta(0), timedelta(hours=12)


@dataclass(frozen=True)
class Told:
    """Something that comes so long after what came before it, and happened so long before it comes."""

    who: str
    kind: str  # an event's name, or "identify", "merge", "put in", "take out", "edit", "sweep"
    after: timedelta
    late: timedelta
    said: Any
    context: Any
    is_with_last: bool  # in one batch with what came before


FACTS = ["view", "view", "view", "buy", "buy", "add", "identify", "merge"]
ALONE = ["put in", "put in", "take out", "edit", "sweep"]  # in no batch of messages
kinds = st.sampled_from([*FACTS, *ALONE])
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
    """Leave out what is written out anew from time to time."""
    return not any(isinstance(part, TimeCondition | Anniversary) for part in parts(rule))


class Course:
    """An advertiser with a segment by a rule, what happens to it, and the two others that such a rule may name."""

    def __init__(self, rule: Rule, start: datetime) -> None:
        self.shop, self.now = Shop(), start
        self.door = Door(self.shop, make_segment(self.shop.advertiser, code="x"))
        make_segment(self.shop.advertiser, code="r", kind=Segment.Kind.RULE)
        self.segment = Segment.all_advertisers.get(advertiser=self.shop.advertiser, code="r")
        self.edit(RULES["r"])
        self.segment = make_segment(self.shop.advertiser, code="own", kind=Segment.Kind.RULE)
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

    def happen(self, one: Told, other: Rule) -> None:
        """Let happen what comes in no batch of messages."""
        if one.kind == "edit":
            self.edit(other)
        elif one.kind == "sweep":
            sweep(self.now)
        else:
            do = "add" if one.kind == "put in" else "remove"
            lifetime = instant(self.now + (one.late or HALF_A_DAY)) - instant(self.now)
            change = Change(do, self.door.segment.pk, 1, lifetime=lifetime, value=len(one.said))
            self.door.store(
                Fire(
                    id=UUID(int=next(self.shop._numbers)).bytes,
                    received_at=instant(self.now),
                    advertiser_id=self.shop.advertiser.pk,
                    pixel_id=self.door.pixel.pk,
                    browser=self.shop.key(one.who),
                    changes=(change,),
                )
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
    # Each is forgotten: Hypothesis lets chance begin anew, and ids that are made at one instant would be the same.
    with transaction.atomic():
        play(Course(rule, start), other, happening, probes)
        transaction.set_rollback(True)


def play(course, other, happening, probes):
    for one in happening:
        if not one.is_with_last or one.kind in ALONE:
            course.commit()
            course.check(course.now, is_swept=False) if one.late else None
        course.now += one.after + timedelta(microseconds=1)
        if one.kind in ALONE:
            course.happen(one, other)
        else:
            course.waiting.append(course.message(one))
    course.commit()
    course.check(course.now, is_swept=True)
    for after, is_swept in probes:
        course.now += after
        course.check(course.now, is_swept=is_swept)
    course.check_books()
