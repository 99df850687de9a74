"""The laws at the head of rules.md, held on random rules and facts by the slow reference."""

import json
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.rules.reading.rules import read
from segments.rules.refusals import RuleRefused
from segments.rules.tree import AllOf, AnyOf, EventCondition, Not, Rule
from segments.rules.values import Count, CountTest
from segments.rules.writing import write
from tests.segments.rules import flips
from tests.segments.rules.facts import Company, Person
from tests.segments.rules.scenes import Scene, scenes
from tests.segments.rules.strategies import event_conditions, rule_texts

law = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
ranges = list[tuple[datetime, datetime | None]]
any_scene = st.one_of(scenes(), scenes(), scenes("account"))


def timeline_of(scene: Scene, node: Any = None, **changed: Any) -> ranges:
    scene = replace(scene, **changed)
    rule = scene.rule if node is None else Rule(scene.rule.of, node, scene.rule.zone)
    return flips.timeline_of(rule, scene.subject, scene.world, scene.as_of, "this")


def shuffled(subject: Person | Company, order: st.DataObject) -> Person | Company:
    """Return the same facts in another order, some of them twice."""
    if isinstance(subject, Company):
        return replace(subject, people=tuple(shuffled(person, order) for person in subject.people))
    events = [*subject.events, *subject.events[:2]]
    return replace(subject, events=tuple(order.draw(st.permutations(events))))


@law
@given(any_scene, st.data())
def test_the_order_of_facts_and_how_often_they_came_change_nothing(scene, order):
    assert timeline_of(scene, subject=shuffled(scene.subject, order)) == timeline_of(scene)


@law
@given(any_scene, st.data())
def test_time_alone_brings_nothing_new(scene, choice):
    earlier = timeline_of(scene)
    flips_known = [at for both in earlier for at in both if at is not None]
    later = choice.draw(st.sampled_from([*flips_known, scene.as_of]))
    horizon = flips.horizon_of(scene.rule, scene.world, scene.as_of)
    expected = [(max(start, later), end) for start, end in earlier if end is None or end > later]
    assert cut(timeline_of(scene, as_of=later), horizon) == expected


def cut(found: ranges, horizon: datetime | None) -> ranges:
    """Return the ranges up to a horizon."""
    if horizon is None:
        return found
    return [(start, min(end or horizon, horizon)) for start, end in found if start < horizon]


@law
@given(any_scene)
def test_a_not_takes_exactly_the_rest_and_two_cancel(scene):
    node, whole = scene.rule.root, timeline_of(scene)
    rest = timeline_of(scene, Not(child=node))
    assert timeline_of(scene, Not(child=Not(child=node))) == whole
    assert timeline_of(scene, AllOf(children=(node, Not(child=node)))) == []
    ends = sorted({at for both in (*whole, *rest) for at in both if at is not None})
    assert ends[0] == scene.as_of
    assert sorted(start for start, _ in (*whole, *rest)) == ends[: len(whole) + len(rest)]


@law
@given(scenes(), scenes())
def test_de_morgan(scene, other):
    one, two = scene.rule.root, other.rule.root
    assert timeline_of(scene, Not(child=AnyOf(children=(one, two)))) == timeline_of(
        scene, AllOf(children=(Not(child=one), Not(child=two)))
    )


@law
@given(scenes(), event_conditions, st.integers(1, 3))
def test_at_least_n_and_at_most_one_less_split_all_time(scene, condition, n):
    condition = {key: condition[key] for key in ("event", "where", "window") if key in condition}
    node = read(json.dumps({"muster_rule": 1, "of": "profile", "rule": condition})).rule.root
    assert isinstance(node, EventCondition)
    many = replace(node, aggregate=Count(CountTest("at_least", n, None)))
    few = replace(node, aggregate=Count(CountTest("at_most", 0, n - 1)))
    assert timeline_of(scene, few) == timeline_of(scene, Not(child=many))


@law
@given(any_scene)
def test_a_range_never_touches_the_next(scene):
    found = timeline_of(scene)
    assert all(one[1] < other[0] for one, other in pairwise(found))
    assert all(start >= scene.as_of and (end is None or start < end) for start, end in found)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(rule_texts("profile"), rule_texts("account")))
def test_every_rule_is_written_as_it_was_read(text):
    rule = read(text).rule
    assert read(write(rule)).rule == rule


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(rule_texts("profile"), rule_texts("account")), st.data())
def test_one_unknown_key_anywhere_refuses_the_whole_rule(text, choice):
    source = json.loads(text)
    objects = list(_objects(source))
    choice.draw(st.sampled_from(objects))["at_leats"] = 3
    with pytest.raises(RuleRefused):
        read(json.dumps(source))


def _objects(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(part)
