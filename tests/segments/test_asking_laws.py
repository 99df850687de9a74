"""Whoever asks about a rule gets one answer: its timelines, the preview, the exact count and "why" agree."""

from typing import Any

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from audience.models import Account, Advertiser, Profile
from segments.preview import count_in_chunks, preview
from segments.why import explain
from tests.segments.rules import scenes
from tests.segments.rules.database import ask_many
from tests.segments.rules.stored import put
from tests.segments.rules.test_sql_and_reference import NODES, asked_about, covers, law, with_stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("kind", NODES)
@law
@given(data=st.data())
def test_all_answers_agree(kind: str, data: Any) -> None:
    scene = data.draw(asked_about(kind))
    others = [data.draw(scenes.people(scene.as_of, number)) for number in (5, 6)] if kind != "accounts" else []

    def answers(around: Any) -> tuple[int, ...]:
        (advertiser,) = Advertiser.objects.order_by("-pk")[:1]
        for other in others:
            put(other, advertiser)
        as_of = max([scene.as_of, *(at for other in others for at in scenes._known_at(other))])
        counted = [one.hits for one in count_in_chunks(scene.rule, around, advertiser.pk, as_of)][-1]
        ids = everybody(scene.rule.of, advertiser.pk)
        timelines = ask_many(scene.rule, ids, as_of, around)
        explained = [explain(scene.rule, around, advertiser.pk, id_, as_of=as_of) for id_ in ids]
        for one in explained:
            assert one.is_in == one.root.holds
        with time_machine.travel(as_of, tick=False):
            found = preview(scene.rule, around, advertiser.pk).found
        assert found.is_exact
        assert found.asked == len(ids)
        held = sum(covers(timelines[id_], as_of) for id_ in ids)
        return counted, held, sum(one.is_in for one in explained), found.hits

    counted, *same = with_stored(scene, answers)
    assert same == [counted] * 3


def everybody(of: str, advertiser_id: int) -> list[Any]:
    model: Any = Profile if of == "profile" else Account
    return list(model.all_advertisers.filter(advertiser=advertiser_id).values_list("pk", flat=True))
