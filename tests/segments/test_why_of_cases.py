"""Why agrees with membership: each worked case of rules.md 7, explained, and brought into rows by the engine."""

from typing import Any

import pytest
from django.db import connection, transaction

from audience.columns import batch_cursor
from audience.instants import instant
from audience.models import Advertiser
from audience.talk import speak
from segments.evaluation import Asked, Because, Ruled, evaluate
from segments.models import Cause, Membership, RuleVersion, Segment
from segments.rules.timeline import Surroundings, compile_rule
from segments.why import RANGES_SHOWN, Answer, Why, explain
from tests.factories import make_advertiser, make_segment
from tests.segments.rules.cases import Case
from tests.segments.rules.stored import put, surroundings
from tests.segments.rules.worked import CASES

pytestmark = pytest.mark.django_db
by_name = {case.name: case for case in CASES}


def stored(case: Case) -> tuple[Advertiser, Surroundings]:
    advertiser = make_advertiser()
    put(case.subject, advertiser)
    return advertiser, surroundings(case.read(), case.subject, case.world, advertiser)


def why(case: Case, advertiser: Advertiser, around: Surroundings) -> Why:
    return explain(case.read(), around, advertiser.pk, case.subject.id, as_of=case.instant())


def leaves(answer: Answer) -> list[Answer]:
    return [leaf for child in answer.children for leaf in leaves(child)] or [answer]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_why_agrees_with_the_worked_timeline(case: Case) -> None:
    answer = why(case, *stored(case))
    expected = case.timeline()
    is_in = any(start <= case.instant() and (end is None or case.instant() < end) for start, end in expected)
    assert answer.is_in == answer.root.holds == is_in
    assert [tuple(one) for one in answer.ranges] == expected[:RANGES_SHOWN]
    assert [leaf.says for leaf in leaves(answer.root) if not leaf.actual] == []


@pytest.mark.parametrize("case", [case for case in CASES if case.of == "profile"], ids=lambda case: case.name)
def test_why_agrees_with_the_row_of_the_engine(case: Case) -> None:
    advertiser, around = stored(case)
    answer = why(case, advertiser, around)
    rows = bring(case, advertiser, around)
    assert [row.expires_at > case.instant() >= row.starts_at for row in rows] == [answer.is_in] * len(rows)
    assert bool(rows) == bool(answer.ranges)
    for row in rows if answer.is_in else ():
        assert row.ends_at == answer.until


def bring(case: Case, advertiser: Advertiser, around: Surroundings) -> list[Membership]:
    """Let the engine ask the rule of a case, and return the row that it makes."""
    segment = make_segment(advertiser, code="this", kind=Segment.Kind.RULE)
    active: Any = {"state": RuleVersion.State.ACTIVE, "number": 1, "rule": case.text()}
    RuleVersion.all_advertisers.create(advertiser=advertiser, segment=segment, **active)
    ruled = Ruled(advertiser.pk, segment.pk, 1, compile_rule(case.read(), around))
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        asked = Asked(ruled, {case.subject.id.bytes: Because(Cause.FACT)})
        speak(cursor, evaluate([asked], instant(case.instant())))
    return list(Membership.all_advertisers.filter(segment=segment))


@pytest.mark.parametrize(
    ("name", "actual"),
    [
        ("53 in", "in since 1 May 12:00, until 31 May 12:00"),
        ("54 left", "in since 1 May 12:00, until 31 May 12:00"),
        ("55 value", "in since 1 May 12:00, until 19 June 12:00, with the value 3"),
        ("57 in time", "2 of 2 steps, the last on 1 May 12:59"),
        ("57 too late", "1 of 2 steps, the last on 1 May 12:00"),
        ("58 removed", "1 of 2 steps, the last on 1 May 12:00"),
        ("58 added again", "2 of 2 steps, the last on 1 May 12:10"),
        ("59", "1 of 2 steps, the last on 1 May 12:00"),
        ("59 later", "2 of 2 steps, the last on 1 May 13:00"),
        ("60 then", "1 of 2 steps, the last on 1 May 12:50"),
        ("61", "1 of 2 steps, the last on 1 May 12:00"),
        ("61 then", "2 of 2 steps, the last on 1 May 12:06"),
        ("64", "favourite is shoes (3 of 5)"),
        ("65", "from 100 to 40: -60 %"),
        ("68 any", "2 of 2 people"),
        ("68 {'at_least': 2} of nobody", "no people"),
    ],
)
def test_what_is_the_case_in_the_worked_case(name: str, actual: str) -> None:
    case = by_name[name]
    assert why(case, *stored(case)).root.actual == actual


def test_of_a_segment_by_a_rule_the_next_join_is_told() -> None:
    case = by_name["56"]
    first, _ = leaves(why(case, *stored(case)).root)
    assert first.actual == "not in; joins on 8 May 12:00"
