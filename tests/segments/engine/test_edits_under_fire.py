"""Rules are edited, paused and deleted while processes fire, merge, sweep and build, one of which is killed.

In the end every membership is what its rule says, and the books are right.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest
from django.utils import timezone

from audience.models import Merge, Profile
from segments import recount, rulebook
from segments.building import build
from segments.deletion import delete_segment
from segments.membership import holds
from segments.models import Membership, RuleVersion, Segment, Transition
from segments.surroundings import rule_of, surroundings_of
from segments.sweeper import sweep
from segments.versions import pause, resume, save_rule
from tests.exports.scene import worker_environment
from tests.factories import make_segment
from tests.running import ROOT, until
from tests.segments.engine.scene import Shop
from tests.segments.rules.asking import rule_text
from tests.segments.rules.database import ask_many

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("rules.md 2.13"), pytest.mark.spec("R11")]

FIRING, BUILDING = 2, 2


def views(at_least: int, **more: object) -> dict[str, object]:
    return {"event": "view", "window": {"within": "1min"}, "count": {"at_least": at_least}, **more}


IN_FANS = {"segment": "fans", "in": True}
BOUGHT = {"event": "buy", "window": {"within": "1min"}}


class Processes:
    """What runs beside the test, until `stop`."""

    def __init__(self, folder: Path) -> None:
        self.stop_file = folder / "stop"
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.segments.engine.shopper", *map(str, words)]
        environment = {**os.environ, **worker_environment(), "STOP_FILE": str(self.stop_file)}
        self.running.append(subprocess.Popen(command, cwd=ROOT, env=environment))
        return self.running[-1]

    def stop(self) -> list[int]:
        self.stop_file.touch()
        return [process.wait(120) for process in self.running]


@contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    made = Processes(folder)
    try:
        yield made
    finally:
        made.stop()


def is_built() -> bool:
    return not RuleVersion.all_advertisers.filter(state="building").exists()


def has_begun(version: RuleVersion) -> bool:
    """Whether the build of a version is under way, or over."""
    found = RuleVersion.all_advertisers.get(pk=version.pk)
    return found.profiles_done > 0 or found.state != "building"


def test_edits_under_fire(tmp_path: Path) -> None:
    shop = Shop()
    fans, users, gone = (make_segment(shop.advertiser, code, kind="rule") for code in ("fans", "users", "gone"))
    for segment, node in ((fans, views(2)), (users, {"all_of": [IN_FANS, BOUGHT]}), (gone, BOUGHT)):
        save_rule(segment, rule_text(node))

    with processes(tmp_path) as beside:
        for seed in range(FIRING):
            beside.start("fire", shop.advertiser.pk, seed)
        builders = [beside.start("build") for _ in range(BUILDING)]
        beside.start("sweep")
        until(is_built, "the first versions serve", timeout_seconds=120)
        until(lambda: Transition.all_advertisers.filter(segment=users).exists(), "somebody buys")

        first = save_rule(fans, rule_text(views(3)))
        until(lambda: has_begun(first), "an edit is being built")
        save_rule(users, rule_text({"any_of": [IN_FANS, views(5)]}))  # of what uses it, meanwhile
        builders[0].send_signal(signal.SIGKILL)
        until(is_built, "another one builds on")

        second = save_rule(fans, rule_text(views(4)))
        until(lambda: has_begun(second), "another edit is being built")
        save_rule(fans, rule_text(views(2)))  # which drops the unfinished one
        until(is_built, "the third serves")

        dropped = save_rule(gone, rule_text({"any_of": [BOUGHT, views(1)]}))
        until(lambda: has_begun(dropped), "a segment to be deleted is being built")
        delete_segment(gone)
        paused = save_rule(fans, rule_text(views(3)))
        until(lambda: has_begun(paused), "a segment to be paused is being built")
        fans.refresh_from_db()
        pause(fans)
        until(is_built, "what uses it is built anew")
        resume(Segment.all_advertisers.get(pk=fans.pk))
        until(is_built, "and once more when it goes on")
        ended = beside.stop()

    assert sorted(ended) == [-signal.SIGKILL, *[0] * (FIRING + BUILDING)]
    assert Merge.all_advertisers.exists()
    build()
    check(shop, [fans, users])


def check(shop: Shop, segments: list[Segment]) -> None:
    """Compare rows, numbers and transitions of segments with what their rules say."""
    rulebook.refresh()
    now = timezone.now()
    sweep(now)
    ids = list(Profile.all_advertisers.filter(advertiser=shop.advertiser).values_list("pk", flat=True))
    around = surroundings_of(shop.advertiser.pk)
    for segment in segments:
        rule = RuleVersion.all_advertisers.get(segment=segment, state="active").rule
        timelines = ask_many(rule_of(rule), ids, now, around)
        expected = {id_ for id_, ranges in timelines.items() if ranges and ranges[0][0] == now}
        members = set(
            Membership.all_advertisers.filter(holds(now), segment=segment).values_list("profile_id", flat=True)
        )
        assert members == expected
        assert in_by_transitions(segment) == members
    assert [str(one) for one in recount.differences_of_snapshot(now)] == []


def in_by_transitions(segment: Segment) -> set[object]:
    """Return who has joined once more than they have left."""
    rows = Transition.all_advertisers.filter(segment=segment).order_by("profile_id", "at", "-change")
    members = set()
    for profile, steps in groupby(rows, lambda row: row.profile_id):
        changes = [step.change for step in steps]
        if changes.count("join") > changes.count("leave"):
            members.add(profile)
    return members
