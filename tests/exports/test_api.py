"""Destinations, exports and runs, through the API."""

import csv
import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from audience.models import Advertiser, Role
from audience.tenancy import acting_for
from exports.models import Destination, Export, ExportColumn, Run
from exports.working import work_on
from segments.models import Segment
from tests.callers import Caller, make_caller
from tests.factories import make_advertiser, make_member, make_profile, make_segment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.fixture
def caller(advertiser: Advertiser) -> Caller:
    return make_caller(advertiser, Role.MANAGER)


@pytest.fixture
def cart(advertiser: Advertiser) -> Segment:
    return make_segment(advertiser, "cart")


@pytest.fixture
def folder(advertiser: Advertiser, settings: Any, tmp_path: Path) -> Destination:
    """A destination that is ready: a folder of this machine."""
    settings.EXPORT_FOLDERS = {"files": tmp_path / "out"}
    settings.EXPORT_RUN_DIR = tmp_path / "runs"
    for path in (tmp_path / "out", tmp_path / "runs"):
        path.mkdir()
    return make_destination(advertiser)


def make_destination(advertiser: Advertiser, **fields: Any) -> Destination:
    ready = {"name": "Files", "kind": "folder", "root": "files", "receiver": "own", "state": "ready"}
    with acting_for(advertiser.pk):
        return Destination.objects.create(**ready | fields)


def by_customer_id(**more: Any) -> dict[str, Any]:
    return {"source": "identifier", "identifier_kind": "customer_id", "is_required": True, "header": "userId"} | more


@pytest.fixture
def export(caller: Caller, folder: Destination, cart: Segment) -> dict[str, Any]:
    """An export of the cart's members, as it was made through the API."""
    body = {"name": "CRM", "destination": folder.pk, "segments": [cart.pk], "columns": [by_customer_id()]}
    made = caller.post("/exports", body)
    assert made.status_code == 201, made.content
    result: dict[str, Any] = made.json()
    return result


def add_members(cart: Segment, count: int) -> None:
    for number in range(count):
        profile = make_profile(Advertiser.objects.get(pk=cart.advertiser_id), customer_id=f"C-{number}")
        make_member(cart, profile, starts_at=timezone.now())


class TestDestinations:
    def test_destinations_are_listed_without_their_secrets(self, caller: Caller, folder: Destination) -> None:
        (row,) = caller.get("/destinations").json()["results"]
        assert row == caller.get(f"/destinations/{folder.pk}").json()
        assert (row["name"], row["state"], row["address"]) == ("Files", "ready", "files")
        assert set(row) == {"id", "name", "kind", "receiver", "state", "address", "tested_at", "created_at"}

    def test_destinations_are_made_in_the_admin(self, caller: Caller, folder: Destination) -> None:
        assert caller.post("/destinations", {"name": "Mine"}).status_code == 405
        assert caller.patch(f"/destinations/{folder.pk}", {"state": "ready"}).status_code == 405
        assert caller.delete(f"/destinations/{folder.pk}").status_code == 405


class TestExports:
    def test_an_export_is_made_read_and_edited(
        self, caller: Caller, export: dict[str, Any], cart: Segment, advertiser: Advertiser
    ) -> None:
        path = f"/exports/{export['id']}"
        assert export["segments"] == [cart.pk]
        assert export["columns"][0]["header"] == "userId"
        assert export["next_due_at"] is None
        assert caller.get(path).json() == export

        bought = make_segment(advertiser, "bought")
        edits = {
            "schedule": "nightly",
            "at_time": "04:00:00",
            "zone": "Europe/Berlin",
            "segments": [bought.pk, cart.pk],
            "columns": [by_customer_id(), {"source": "value"}],
        }
        edited = caller.patch(path, edits).json()
        assert edited["segments"] == [bought.pk, cart.pk]
        assert [column["source"] for column in edited["columns"]] == ["identifier", "value"]
        assert edited["next_due_at"] > timezone.now().isoformat()
        assert caller.patch(path, edited).json() == edited
        assert ExportColumn.all_advertisers.count() == 2

    def test_an_export_leaves_out_segments_that_are_deleted(
        self, caller: Caller, export: dict[str, Any], cart: Segment
    ) -> None:
        make_caller(cart.advertiser).delete(f"/segments/{cart.pk}")
        assert caller.get(f"/exports/{export['id']}").json()["segments"] == []

    def test_a_segment_of_accounts_is_refused(self, caller: Caller, advertiser: Advertiser, folder: Any) -> None:
        shops = make_segment(advertiser, "shops", kind=Segment.Kind.RULE, of=Segment.Of.ACCOUNT)
        body = {"name": "CRM", "destination": folder.pk, "segments": [shops.pk], "columns": [by_customer_id()]}
        answer = caller.post("/exports", body)
        assert (answer.status_code, "are accounts" in str(answer.json()["fields"]["segments"])) == (400, True)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": ""}, "name"),
            ({"destination": 0}, "destination"),
            ({"destination": None}, "destination"),
            ({"segments": []}, "segments"),
            ({"segments": [0]}, "segments"),
            ({"segments": "all"}, "segments"),
            ({"columns": []}, "columns"),
            ({"columns": [{"source": "value"}] * 121}, "columns"),
            ({"layout": "segment_list"}, "columns"),
            ({"split_rows": 1000, "file_name": "members_{date}.csv"}, "file_name"),
            ({"columns": [{}]}, "columns.0.source"),
            ({"columns": [{"source": "password"}]}, "columns.0.source"),
            ({"columns": [{"source": "identifier"}]}, "columns.0.identifier_kind"),
            ({"columns": [{"source": "value", "identifier_kind": "email"}]}, "columns.0.identifier_kind"),
            ({"columns": [by_customer_id(count=11)]}, "columns.0.count"),
            ({"file_name": "../{date}"}, "file_name"),
            ({"file_name": "{password}_{date}"}, "file_name"),
            ({"file_name": "members.csv"}, "file_name"),
            ({"delimiter": ";;"}, "delimiter"),
            ({"schedule": "once"}, "once_at"),
            ({"schedule": "cron"}, "cron"),
            ({"schedule": "cron", "cron": "* * * * *"}, "cron"),
            ({"zone": "Mars/Olympus"}, "zone"),
            ({"keep_days": 61}, "keep_days"),
            ({"next_due": "2026-11-22T03:00:00Z"}, "next_due"),
        ],
    )
    def test_what_cannot_be_taken_is_named_and_nothing_is_saved(
        self, caller: Caller, export: dict[str, Any], body: dict[str, Any], field: str
    ) -> None:
        new = {name: export[name] for name in ("destination", "segments", "columns")} | {"name": "New"}
        for answer in (caller.post("/exports", new | body), caller.patch(f"/exports/{export['id']}", body)):
            assert answer.status_code == 400
            assert set(answer.json()["fields"]) == {field}
        assert [row.name for row in Export.all_advertisers.all()] == ["CRM"]
        assert caller.get(f"/exports/{export['id']}").json() == export

    @pytest.mark.spec("T31")
    def test_a_foreign_destination_is_refused_like_one_that_never_was(
        self, caller: Caller, export: dict[str, Any]
    ) -> None:
        foreign = make_destination(make_advertiser())
        answers = [caller.patch(f"/exports/{export['id']}", {"destination": pk}) for pk in (foreign.pk, 987_654)]
        assert [answer.status_code for answer in answers] == [400, 400]
        assert answers[0].content == answers[1].content

    def test_exports_are_found_by_destination(self, caller: Caller, export: dict[str, Any]) -> None:
        found = caller.get("/exports", destination=export["destination"]).json()["results"]
        assert [row["id"] for row in found] == [export["id"]]
        assert caller.get("/exports", destination=0).json()["results"] == []
        assert caller.get("/exports", destination="1.5").status_code == 400


class TestRuns:
    def test_a_run_is_started_followed_and_downloaded(
        self, caller: Caller, export: dict[str, Any], cart: Segment, settings: Any
    ) -> None:
        add_members(cart, 3)
        started = caller.post("/runs", {"export": export["id"]})
        assert started.status_code == 201
        run = started.json()
        assert (run["state"], run["cause"], run["started_by"]) == ("queued", "api", "API token CRM sync")
        assert run["progress"]["can_be_cancelled"] is True
        path = f"/runs/{run['id']}"
        assert caller.get(path).json() == run

        work_on(run["id"])
        run = caller.get(path).json()
        assert run["state"] == "delivered", run
        assert run["funnel"]["members"] == run["funnel"]["written"] == 3
        part = next(file for file in run["files"] if file["kind"] == "part")
        delivered = settings.EXPORT_FOLDERS["files"] / part["name"]

        download = caller.get(f"{path}/files/{part['position']}")
        content = b"".join(download.streaming_content)
        assert content == delivered.read_bytes()
        assert hashlib.sha256(content).hexdigest() == part["sha256"]
        rows = list(csv.reader(io.StringIO(gzip.decompress(content).decode())))
        assert rows[0] == ["userId"]
        assert sorted(rows[1:]) == [["C-0"], ["C-1"], ["C-2"]]
        assert download["Content-Disposition"] == f'attachment; filename="{part["name"]}"'
        assert download["Cache-Control"] == "no-store, private"

    def test_files_can_be_written_for_download_alone(
        self, caller: Caller, export: dict[str, Any], cart: Segment, settings: Any
    ) -> None:
        add_members(cart, 1)
        run = caller.post("/runs", {"export": export["id"], "is_to_be_sent": False}).json()
        work_on(run["id"])
        run = caller.get(f"/runs/{run['id']}").json()
        part = next(file for file in run["files"] if file["kind"] == "part")
        assert caller.get(f"/runs/{run['id']}/files/{part['position']}").status_code == 200
        assert list(settings.EXPORT_FOLDERS["files"].iterdir()) == []

    def test_one_run_at_a_time(self, caller: Caller, export: dict[str, Any]) -> None:
        first = caller.post("/runs", {"export": export["id"]}).json()
        second = caller.post("/runs", {"export": export["id"]})
        assert second.status_code == 409
        assert second.json()["code"] == "refused"
        assert "under way" in second.json()["message"]
        assert [run["id"] for run in caller.get("/runs", export=export["id"]).json()["results"]] == [first["id"]]

    @pytest.mark.parametrize("state", ["draft", "paused"])
    def test_a_destination_that_is_not_ready_takes_no_run(
        self, caller: Caller, export: dict[str, Any], state: str
    ) -> None:
        Destination.all_advertisers.update(state=state)
        refused = caller.post("/runs", {"export": export["id"]})
        assert refused.status_code == 409
        assert Run.all_advertisers.count() == 0

    def test_a_run_is_cancelled_once(self, caller: Caller, export: dict[str, Any], settings: Any) -> None:
        run = caller.post("/runs", {"export": export["id"]}).json()
        cancelled = caller.post(f"/runs/{run['id']}/cancel")
        assert cancelled.status_code == 200
        assert cancelled.json()["progress"]["can_be_cancelled"] is False
        work_on(run["id"])
        ended = caller.get(f"/runs/{run['id']}").json()
        assert (ended["state"], ended["reason"]) == ("cancelled", "cancelled")
        assert ended["message"]
        assert caller.post(f"/runs/{run['id']}/cancel").status_code == 409
        assert list(settings.EXPORT_FOLDERS["files"].iterdir()) == []

    def test_a_file_that_is_no_longer_kept_says_so(
        self, caller: Caller, export: dict[str, Any], cart: Segment, settings: Any
    ) -> None:
        add_members(cart, 1)
        run = caller.post("/runs", {"export": export["id"]}).json()
        assert caller.get(f"/runs/{run['id']}/files/1").status_code == 404
        work_on(run["id"])
        (part,) = [file for file in caller.get(f"/runs/{run['id']}").json()["files"] if file["kind"] == "part"]
        for file in Path(settings.EXPORT_RUN_DIR).rglob("*"):
            if file.is_file():
                file.unlink()
        gone = caller.get(f"/runs/{run['id']}/files/{part['position']}")
        assert gone.status_code == 409
        assert gone.json()["code"] == "not_kept"
        assert caller.get(f"/runs/{run['id']}/files/99").status_code == 404

    def test_downloads_are_for_tokens_that_may_see_people(
        self, advertiser: Advertiser, caller: Caller, export: dict[str, Any], cart: Segment
    ) -> None:
        add_members(cart, 1)
        run = caller.post("/runs", {"export": export["id"]}).json()
        work_on(run["id"])
        for role in Role:
            blind = make_caller(advertiser, role, people=False)
            assert blind.get(f"/runs/{run['id']}/files/1").status_code == 403
            assert b"C-0" not in blind.get(f"/runs/{run['id']}").content

    @pytest.mark.spec("T31")
    def test_a_foreign_export_is_refused_like_one_that_never_was(self, export: dict[str, Any]) -> None:
        other = make_caller(make_advertiser())
        answers = [other.post("/runs", {"export": pk}) for pk in (export["id"], 987_654)]
        assert [answer.status_code for answer in answers] == [400, 400]
        assert answers[0].content == answers[1].content
        assert Run.all_advertisers.count() == 0

    def test_runs_are_found_by_state(self, caller: Caller, export: dict[str, Any]) -> None:
        run = caller.post("/runs", {"export": export["id"]}).json()
        assert [row["id"] for row in caller.get("/runs", state="queued").json()["results"]] == [run["id"]]
        assert caller.get("/runs", state="failed").json()["results"] == []


def test_run_files_lie_in_a_folder_that_is_not_served() -> None:
    static = Path(django_settings.STATIC_ROOT)
    assert static not in Path(django_settings.EXPORT_RUN_DIR).parents
