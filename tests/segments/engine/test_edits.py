"""A rule is edited: a new version is built beside the one that serves, and takes its place in one instant."""

import pytest

from audience.tenancy import acting_for
from segments import building, recount, rulebook
from segments.building import build, drop_superseded
from segments.deletion import StillUsed, delete_segment
from segments.models import Membership, RuleVersion
from segments.rules.refusals import RuleRefused
from segments.versions import NotAllowed, build_again, pause, resume
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

V = ("05-01 10:00", "05-02 10:00", "05-03 10:00")


def views(at_least=3, within="7d", **more):
    return {"event": "view", "window": {"within": within}, "count": {"at_least": at_least}, **more}


@pytest.fixture
def shop():
    return Shop()


def state_of(segment):
    return [
        (row.number, str(row.state)) for row in RuleVersion.all_advertisers.filter(segment=segment).order_by("id")
    ]


def test_71_who_qualifies_now_joins_and_who_did_stays(shop):
    segment = shop.segment("fans", views())
    shop.views("p", *V)
    shop.views("q", *V[1:])
    shop.edit(segment, views(2), live="05-03 12:00")

    assert shop.steps(segment) == steps("join 05-03 10:00 fact, join 05-03 12:00 edit")
    assert shop.members(segment, "05-09 09:59") == 2
    assert shop.members(segment, "05-09 10:00") == 0
    with acting_for(shop.advertiser.pk):
        starts = Membership.objects.filter(segment=segment, version=2).values_list("starts_at", flat=True)
        assert sorted(starts) == [at("05-03 10:00"), at("05-03 12:00")]


def test_72_the_old_version_serves_until_the_switch(shop):
    segment = shop.segment("fans", views())
    shop.views("p", *V)
    shop.edit(segment, views(within="1d"))
    assert shop.members(segment, "05-03 11:00") == 1

    shop.build("05-03 12:00")
    assert shop.members(segment, "05-03 12:00") == 0
    assert shop.steps(segment) == steps("join 05-03 10:00 fact, leave 05-03 12:00 edit")


def test_72_a_label_alone_makes_no_version(shop):
    segment = shop.segment("fans", views())
    version = shop.edit(segment, views(label="Fans"))
    assert state_of(segment) == [(1, "active")]
    assert "Fans" in version.rule


def test_73_a_first_rule_begins_when_it_is_live(shop):
    shop.views("p", *V)
    segment = shop.segment("fans", views(), live="05-06 12:00")
    sweep_at("05-09")
    assert shop.steps(segment) == steps("join 05-06 12:00 edit, leave 05-08 10:00 time")


def test_74_a_paused_segment_takes_nobody_in(shop):
    segment = shop.segment("fans", views())
    shop.views("p", *V)
    pause(segment, at=at("05-04"))
    rulebook.refresh()
    shop.views("p", "05-06 09:00")
    sweep_at("05-08 11:00")
    resume(segment, at=at("05-08 12:00"))
    shop.build("05-08 12:00")
    sweep_at("05-10")
    assert shop.steps(segment) == steps(
        "join 05-03 10:00 fact, leave 05-08 10:00 time, join 05-08 12:00 edit, leave 05-09 10:00 time"
    )


def test_who_would_join_a_paused_segment_by_time_does_not(shop):
    segment = shop.segment("back", {"event": "view", "window": {"between_ago": ["7d", "30d"]}})
    user = shop.segment("users", {"segment": "back", "in": True})
    shop.views("p", *V)
    pause(segment, at=at("05-04"))
    shop.build("05-04")
    sweep_at("06-15")
    assert shop.steps(segment) == shop.steps(user) == []


def test_what_comes_to_use_a_segment_while_that_is_built_is_built_again(shop):
    fans = shop.segment("fans", views())
    shop.views("p", *V[:2])
    build_chunks(shop, fans, views(2))
    users = shop.segment("users", {"segment": "fans", "in": True}, live="05-02 12:00")
    shop.build("05-02 13:00")
    assert shop.steps(fans) == steps("join 05-02 12:00 edit")
    assert shop.steps(users) in (steps("join 05-02 12:00 edit"), steps("join 05-02 13:00 edit"))


def test_facts_keep_both_versions_true_while_one_is_built(shop):
    segment = shop.segment("fans", views())
    shop.views("p", *V[:2])
    build_chunks(shop, segment, views(2))
    shop.views("p", V[2])
    shop.views("r", *V[1:])

    assert shop.steps(segment) == steps("join 05-03 10:00 fact")
    shop.build("05-03 12:00")
    assert shop.steps(segment) == steps("join 05-03 10:00 fact, join 05-03 12:00 edit")


def build_chunks(shop, segment, node):
    """Let a version compute everybody, and stop before the switch."""
    shop.edit(segment, node)

    class Stopped(Exception):
        pass

    def stop(_):
        raise Stopped

    with pytest.raises(Stopped):
        build(now=at("05-02 12:00"), progress=stop)


def test_a_second_edit_drops_an_unfinished_first(shop):
    segment = shop.segment("fans", views())
    shop.views("p", *V)
    build_chunks(shop, segment, views(5))
    shop.edit(segment, views(2), live="05-03 12:00")
    assert state_of(segment) == [(1, "superseded"), (2, "superseded"), (3, "active")]
    assert shop.members(segment, "05-03 12:00") == 1

    drop_superseded()
    assert set(Membership.all_advertisers.values_list("version", flat=True)) == {3}


def test_a_stopped_build_goes_on_where_it_was_and_facts_keep_true_what_is_built(shop, monkeypatch):
    monkeypatch.setattr(building, "CHUNK_PROFILES", 1)
    segment = shop.segment("fans", views())
    shop.views("p", *V[:2])
    shop.views("q", V[1])
    version = shop.edit(segment, views(2))
    build(now=at("05-02 12:00"), progress=lambda _: building.stop(version))
    version.refresh_from_db()
    assert (version.profiles_done, str(version.state)) == (1, "building")
    shop.views("p", V[2])
    shop.build("05-03 11:00")
    assert state_of(segment) == [(1, "active"), (2, "building")]

    assert building.go_on(version)
    shop.build("05-03 12:00")
    version.refresh_from_db()
    assert (version.profiles_done, str(version.state)) == (2, "active")
    assert shop.steps(segment) == steps("join 05-03 10:00 fact")


def test_what_failed_is_built_again(shop):
    segment = shop.segment("fans", views())
    version = shop.edit(segment, views(2))
    RuleVersion.all_advertisers.filter(pk=version.pk).update(state="failed")
    version.refresh_from_db()
    build_again(version, at=at("05-03"))
    shop.build("05-03 12:00")
    assert state_of(segment) == [(1, "superseded"), (2, "failed"), (3, "active")]
    with pytest.raises(NotAllowed):
        build_again(version)


def test_a_rule_that_cannot_be_built_leaves_the_old_one_serving(shop):
    segment = shop.segment("fans", views())
    shop.views("p", *V)
    version = shop.edit(segment, views(2))
    RuleVersion.all_advertisers.filter(pk=version.pk).update(rule='{"muster_rule": 2}')
    shop.build("05-03 12:00")

    version.refresh_from_db()
    assert (str(version.state), bool(version.failure)) == ("failed", True)
    assert shop.members(segment, "05-03 12:00") == 1


def test_who_uses_an_edited_segment_switches_with_it(shop):
    fans = shop.segment("fans", views())
    buyers = shop.segment("buyers", {"all_of": [{"segment": "fans", "in": True}, {"event": "buy"}]})
    shop.views("p", *V[:2])
    shop.track("p", "buy", V[2])
    assert shop.members(buyers, "05-03 11:00") == 0

    shop.edit(fans, views(2), live="05-03 12:00")
    assert shop.steps(fans) == shop.steps(buyers) == steps("join 05-03 12:00 edit")
    assert state_of(buyers) == [(1, "superseded"), (2, "active")]


def test_what_is_used_cannot_be_deleted(shop):
    fans = shop.segment("fans", views())
    buyers = shop.segment("buyers", {"segment": "fans", "in": True})
    with pytest.raises(StillUsed, match="Buyers"):
        delete_segment(fans)
    delete_segment(buyers)
    delete_segment(fans)


def test_a_refused_rule_changes_nothing(shop):
    segment = shop.segment("fans", views())
    with pytest.raises(RuleRefused):
        shop.edit(segment, {"all_of": []})
    assert state_of(segment) == [(1, "active")]


def test_what_repeats_is_written_out_anew_when_half_of_it_is_used(shop):
    segment = shop.segment("mornings", {"all_of": [{"event": "view"}, {"time": {"from": "09:00", "to": "10:00"}}]})
    shop.views("p", "04-01 12:00")
    for day in ("04-10", "04-20", "05-01", "05-10", "05-20", "06-01"):
        sweep_at(day)
        shop.build(day)
    assert shop.members(segment, "06-05 07:30") == 0, "the next morning is the first range"
    assert shop.members(segment, "06-01 07:30") == 1
    sweep_at("06-05")
    assert len(shop.steps(segment)) == 2 * (29 + 31 + 4)
    assert not list(recount.differences(at("06-05")))
