"""The compiled SQL gives the answers of the slow reference, and keeps the laws, whatever is asked of whomever.

The reference is asked where the SQL says that something changes, the moment before, and at times taken at random from
those at which something might: a whole timeline of it takes a second.
"""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from segments.rules import tree
from segments.rules.reading.rules import read
from tests.factories import make_advertiser
from tests.segments.rules import scenes, strategies
from tests.segments.rules.database import Ranges, ask, ask_many
from tests.segments.rules.facts import World
from tests.segments.rules.flips import horizon_of, instants, timeline_of
from tests.segments.rules.reference import Asked, holds
from tests.segments.rules.scenes import Scene
from tests.segments.rules.stored import OWN_KEY, as_it_is_stored, put, surroundings

pytestmark = pytest.mark.django_db(transaction=True)
law = settings(max_examples=150, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))

MOMENT = timedelta(microseconds=1)
FAR = timedelta(days=5_000)
NODES = {
    "events": strategies.event_conditions,
    "sequences": strategies.sequences(),
    "changes": strategies.changes,
    "favourites": strategies.favourites,
    "attributes": strategies.attribute_conditions,
    "items": strategies.items_conditions,
    "people": strategies.people_conditions,
    "situations": strategies.situation_conditions,
    "segments": strategies.segment_conditions,
    "times": strategies.times,
    "groups": strategies.profile_nodes,
    "accounts": strategies.account_nodes,
}
# What is seen of somebody is kept with their events and forgotten with them; the reference keeps it for ever.
KEPT_FOR_EVER = ("situation", "near", "visitor")


@st.composite
def asked_about(draw: st.DrawFn, kind: str) -> Scene:
    """Return a scene with a rule of one kind."""
    of = "account" if kind == "accounts" else "profile"
    envelope = {"muster_rule": 1, "of": of, "zone": draw(st.sampled_from(strategies.ZONES))}
    text = json.dumps({**envelope, "rule": draw(NODES[kind])})
    start = draw(st.sampled_from(scenes.STARTS))
    subject = draw(scenes.companies(start) if of == "account" else scenes.people(start))
    kept = [None] if any(word in text for word in KEPT_FOR_EVER) else [None, timedelta(days=3), timedelta(days=8)]
    world = World(retention=draw(st.sampled_from(kept)), is_sunday_first=draw(st.booleans()), rules=scenes.RULES)
    as_of = max([start, *scenes._known_at(subject)]) + draw(st.sampled_from([timedelta(0), *scenes.STEPS]))
    return Scene(read(text).rule, subject, world, as_of)


def with_stored(scene: Scene, ask_for: Callable[..., Any]) -> Any:
    """Store the facts of a scene, ask, and forget them."""
    with transaction.atomic():
        advertiser = make_advertiser()
        put(scene.subject, advertiser)
        found = ask_for(surroundings(scene.rule, scene.subject, scene.world, advertiser))
        transaction.set_rollback(True)
    return found


@pytest.mark.parametrize("kind", NODES)
@law
@given(data=st.data())
def test_the_reference_agrees(kind, data):
    scene = data.draw(asked_about(kind))
    found = with_stored(scene, lambda around: ask(scene.rule, scene.subject.id, scene.as_of, around))
    subject = as_it_is_stored(scene.subject)
    end = horizon_of(scene.rule, scene.world, scene.as_of)
    possible = sorted(instants(scene.rule, subject, scene.world, scene.as_of))
    several = data.draw(st.lists(st.sampled_from(possible), max_size=6))
    for t in sorted(
        {scene.as_of, scene.as_of + FAR, *around(several), *around([at for both in found for at in both])}
    ):
        if t >= scene.as_of and (end is None or t < end):
            asked = Asked(subject, t, scene.as_of, scene.world, scene.rule, timeline_of, OWN_KEY)
            assert covers(found, t) == holds(scene.rule.root, asked), t


def around(times: list[datetime | None]) -> set[datetime]:
    return {moment for at in times if at is not None for moment in (at - MOMENT, at)}


def covers(ranges: Ranges, t: datetime) -> bool:
    return any(start <= t and (end is None or t < end) for start, end in ranges)


@pytest.mark.parametrize("kind", NODES)
@law
@given(data=st.data())
def test_two_nots_cancel_and_a_not_takes_the_rest(kind, data):
    scene = data.draw(asked_about(kind))

    def answers(around: Any) -> list[Ranges]:
        node = scene.rule.root
        rest = tree.Not(child=node)
        asked = (
            node,
            tree.Not(child=rest),
            rest,
            tree.AllOf(children=(node, rest)),
            tree.AnyOf(children=(node, rest)),
        )
        of, zone, id_ = scene.rule.of, scene.rule.zone, scene.subject.id
        return [ask(tree.Rule(of, one, zone), id_, scene.as_of, around) for one in asked]

    whole, twice, rest, both, either = with_stored(scene, answers)
    assert twice == whole
    assert both == []
    assert either == [(scene.as_of, horizon_of(scene.rule, scene.world, scene.as_of))]
    assert sorted([*whole, *rest])[0][0] == scene.as_of


@pytest.mark.parametrize("kind", [kind for kind in NODES if kind != "segments"])
@law
@given(data=st.data())
def test_time_alone_brings_nothing_new(kind, data):
    scene = data.draw(asked_about(kind))
    length = data.draw(st.sampled_from([MOMENT, timedelta(hours=1), timedelta(days=2), timedelta(days=9)]))

    def answers(around: Any) -> list[Ranges]:
        return [ask(scene.rule, scene.subject.id, at, around) for at in (scene.as_of, scene.as_of + length)]

    earlier, later = with_stored(scene, answers)
    horizon = horizon_of(scene.rule, scene.world, scene.as_of)
    start = scene.as_of + length
    expected = [(max(low, start), high) for low, high in earlier if high is None or high > start]
    assert [pair for low, high in later if (pair := cut(low, high, horizon))] == expected


def cut(low: datetime, high: datetime | None, end: datetime | None) -> tuple[datetime, datetime | None] | None:
    if end is None:
        return low, high
    return (low, min(high or end, end)) if low < end else None


@law
@given(data=st.data())
def test_everybody_is_asked_as_one_is(data):
    scene = data.draw(asked_about("groups"))
    start = scene.as_of - timedelta(days=5)
    others = [data.draw(scenes.people(start, number)) for number in (5, 6)]

    def answers(around: Any) -> tuple[Any, Any]:
        advertiser = make_advertiser()
        for other in others:
            put(other, advertiser)
        ids = [scene.subject.id, *(other.id for other in others)]
        as_of = scene.as_of + timedelta(days=9)
        return ask_many(scene.rule, ids, as_of, around), {id_: ask(scene.rule, id_, as_of, around) for id_ in ids}

    together, alone = with_stored(scene, answers)
    assert together == alone
