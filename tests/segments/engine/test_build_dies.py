"""A process that dies while it builds a rule leaves whole chunks, and the next one goes on from there."""

import os
import signal
import subprocess
import sys

import pytest

from segments.models import RuleVersion
from tests.exports.scene import worker_environment
from tests.running import ROOT
from tests.segments.engine.scene import Shop, steps

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("R11")]

WORK = """
import django; django.setup()
from segments import building
from tests.segments.rules.facts import at
building.CHUNK_PROFILES = 1
building.build(now=at("05-01 12:00"))
"""


def build(**environment):
    known = {**os.environ, **worker_environment(), **environment}
    return subprocess.run([sys.executable, "-c", WORK], cwd=ROOT, env=known, timeout=60, check=False).returncode


def test_crash_point_of_a_build():
    shop = Shop()
    for who in "pqr":
        shop.track(who, "view", "05-01 10:00")
    segment = shop.segment("fans", {"event": "buy"})
    version = shop.edit(segment, {"event": "view"})

    assert build(CRASH_AT="rule.chunk") == -signal.SIGKILL
    assert shop.members(segment, "05-01 12:00") == 0
    assert build() == 0
    assert shop.members(segment, "05-01 12:00") == 3
    assert shop.steps(segment) == steps("join 05-01 12:00 edit, join 05-01 12:00 edit, join 05-01 12:00 edit")
    done = RuleVersion.all_advertisers.get(pk=version.pk)
    assert (done.profiles_done, str(done.state)) == (3, "active")
