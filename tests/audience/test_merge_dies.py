"""A process that dies in the middle of a merge leaves nothing of it, and the next one does all of it."""

import os
import signal
import subprocess
import sys

import pytest

from audience.models import Attribute, Event, Identifier, Merge, MessageId, Profile
from tests.audience.messages import Sender, people
from tests.exports.scene import worker_environment
from tests.factories import make_advertiser
from tests.running import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("R11")]

# A process of its own says that browser 1 belongs to customer C1.
WORK = """
import sys, django; django.setup()
from audience.models import Advertiser
from tests.audience.messages import Sender
Sender(Advertiser.objects.get(pk=sys.argv[1])).send("browser:1", "customer_id:C1", at=3, number=9_000)
"""


def merge(advertiser, **environment):
    command = [sys.executable, "-c", WORK, str(advertiser.pk)]
    known = {**os.environ, **worker_environment(), **environment}
    return subprocess.run(command, cwd=ROOT, env=known, timeout=60, check=False).returncode


def test_crash_point_of_a_merge():
    shop = Sender(make_advertiser())
    shop.send("browser:1", at=1, traits={"plan": "free"})
    shop.send(None, "customer_id:C1", at=2)

    def state():
        models = (Event, Attribute, Identifier, Profile, Merge, MessageId)
        return [sorted(map(str, model._base_manager.values_list())) for model in models]

    before = state()
    assert merge(shop.advertiser, CRASH_AT="profile.merged") == -signal.SIGKILL
    assert state() == before
    assert merge(shop.advertiser) == 0
    assert people(shop.advertiser) == {frozenset({"browser:1", "customer_id:C1"})}
    assert Event.all_advertisers.values("profile_id").distinct().count() == 1
