"""Every reader of a membership by a rule: who is in at the very instant, and until when, while nobody sweeps."""

import asyncio
import csv
import io
from dataclasses import replace
from typing import Any

import psycopg
import pytest
import time_machine
from django.db import connection, transaction

from audience.models import Identifier
from audience.tenancy import acting_for
from config.environment import conninfo
from exports.models import Destination, Export, ExportColumn, ExportSegment
from exports.plan import plan_of
from exports.rows import Snapshot
from pixels.messages.ownsegments import OwnSegments, Reader
from segments.models import Segment
from segments.preview import preview
from segments.surroundings import rule_of, surroundings_of
from segments.why import explain
from tests.admins import at_work
from tests.callers import make_caller
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.rules.facts import at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("R7")]

VIEWED = {"event": "view", "window": {"within": "7d"}}


class Readers:
    """One segment by a rule, and everybody who says of “p” whether it is in."""

    def __init__(self, node: Any) -> None:
        self.shop = Shop()
        self.segment = self.shop.segment("fans", node)
        Segment.all_advertisers.filter(pk=self.segment.pk).update(is_readable_on_page=True)

    @property
    def profile(self) -> Any:
        return Identifier.all_advertisers.get(advertiser=self.shop.advertiser).profile_id

    def seen(self, when: str) -> dict[str, bool]:
        with time_machine.travel(at(when), tick=False):
            caller = make_caller(self.shop.advertiser)
            segment = caller.get(f"/segments/{self.segment.pk}").json()
            listed = caller.get("/segments").json()["results"][0]
            return {
                "members in the API": bool(self._members(caller)),
                "size in the API": segment["size"] == 1,
                "size in the list of the API": listed["size"] == 1,
                "profile in the API": bool(self._memberships(caller)),
                "page of the profile": "In no segment" not in self._page(),
                "page of the segment": "has left" not in self._overview(),
                "export": bool(self._exported(when)),
                "SDK": bool(self._own(when)),
                "why": self._why(when).is_in,
                "preview": self._preview() == 1,
            }

    def ends(self, when: str, **form: Any) -> dict[str, Any]:
        """Return until when the member is in, as each reader says; "" and None are no end."""
        with time_machine.travel(at(when), tick=False):
            caller = make_caller(self.shop.advertiser)
            return {
                "members in the API": self._members(caller)[0]["expires_at"],
                "profile in the API": self._memberships(caller)[0]["expires_at"],
                "export": self._exported(when, **form)[0][1],
                "SDK": self._own(when)[0]["until"],
                "why": self._why(when).until,
            }

    def _members(self, caller: Any) -> list[Any]:
        return caller.get(f"/segments/{self.segment.pk}/members").json()["results"]

    def _memberships(self, caller: Any) -> list[Any]:
        return caller.get(f"/profiles/{self.profile}").json()["memberships"]

    def _page(self) -> str:
        url = f"/admin/audience/profile/{self.profile}/change/"
        return at_work(self.shop.advertiser).get(url).content.decode()

    def _overview(self) -> str:
        url = f"/admin/segments/segment/{self.segment.pk}/overview/"
        return at_work(self.shop.advertiser).get(url).content.decode()

    def _exported(self, when: str, **form: Any) -> list[list[str]]:
        with acting_for(self.shop.advertiser.pk):
            place = Destination.objects.create(name=f"Folder {Destination.objects.count()}", kind="folder")
            export = Export.objects.create(name=f"Export {Export.objects.count()}", destination=place, **form)
            ExportSegment.objects.create(export=export, segment=self.segment)
            for source in ({"source": "identifier", "identifier_kind": "browser"}, {"source": "expires_at"}):
                ExportColumn.objects.create(export=export, **source)
            plan = plan_of(export)
        with transaction.atomic(), psycopg.ClientCursor(connection.connection) as cursor:
            snapshot = Snapshot(at(when), cursor)
            (chosen,) = plan.segments
            plan = plan.for_segment(replace(chosen, version=self.segment.active_version))
            rows = b"".join(snapshot.rows(plan)).decode()
        return list(csv.reader(io.StringIO(rows)))

    def _own(self, when: str) -> list[dict[str, Any]]:
        async def read() -> list[dict[str, Any]]:
            reader = Reader(conninfo(connection.settings_dict))
            try:
                return await reader.read(OwnSegments(self.shop.key("p")), at(when))
            finally:
                await reader.close()

        return asyncio.run(read())

    def _why(self, when: str) -> Any:
        return explain(self._rule(), self._around(), self.shop.advertiser.pk, self.profile, as_of=at(when))

    def _preview(self) -> int:
        return preview(self._rule(), self._around(), self.shop.advertiser.pk).found.hits

    def _rule(self) -> Any:
        return rule_of(self.segment.versions(manager="all_advertisers").latest("number").rule)

    def _around(self) -> Any:
        return surroundings_of(self.shop.advertiser.pk)


def test_all_see_a_leave_by_time_at_its_very_instant():
    readers = Readers(VIEWED)
    readers.shop.track("p", "view", "05-01 10:00")
    assert set(readers.seen("05-08 09:59:59.999999").values()) == {True}
    out = readers.seen("05-08 10:00")
    assert [reader for reader, is_in in out.items() if is_in] == []
    assert readers.shop.steps(readers.segment) == steps("join 05-01 10:00 fact")
    sweep_at("05-08 11:00")
    assert readers.seen("05-08 11:00") == out


def test_all_see_a_join_by_time_at_its_very_instant():
    readers = Readers({"event": "view", "window": {"between_ago": ["7d", "30d"]}})
    readers.shop.track("p", "view", "05-01 10:00")
    before, after = readers.seen("05-08 09:59:59.999999"), readers.seen("05-08 10:00")
    # Only the page of the segment lists who joined by what is published.
    del before["page of the segment"]
    assert [reader for reader, is_in in before.items() if is_in] == []
    assert set(after.values()) == {True}


def test_an_end_that_is_known_is_told_by_all():
    readers = Readers(VIEWED)
    readers.shop.track("p", "view", "05-01 10:00")
    told = readers.ends("05-03")
    assert {str(end).replace("T", " ").replace("Z", "+00:00") for end in told.values()} == {str(at("05-08 10:00"))}


NO_ENDS = {
    "ever": {"event": "view", "count": {"at_least": 0}},
    "up to the horizon of what repeats": {"any_of": [{"time": {"from": "00:00", "to": "24:00"}}, VIEWED]},
}


@pytest.mark.parametrize("node", NO_ENDS.values(), ids=list(NO_ENDS))
@pytest.mark.parametrize("times", ["iso", "unix"])
def test_who_has_no_end_is_told_of_none(node, times):
    readers = Readers(node)
    readers.shop.track("p", "view", "05-01 10:00")
    assert set(readers.ends("05-03", times=times).values()) == {None, ""}


def test_the_last_known_range_before_a_horizon_has_its_end():
    readers = Readers({"time": {"from": "09:00", "to": "17:00"}, "zone": "UTC"})
    readers.shop.track("p", "view", "05-01 10:00")
    assert readers.ends("05-01 11:00")["members in the API"] == "2026-05-01T17:00:00Z"
