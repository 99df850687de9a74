"""Exports in the admin: the form with its preview, what it refuses, and Run now."""

from typing import Any

import pytest
from django.test import Client

from audience.models import Role
from audience.tenancy import acting_for
from exports.models import Export, Run
from exports.working import work_on
from tests.admins import at_work
from tests.exports.scene import Scene
from tests.exports.test_admin import EXPORTS, RUNS, filled, history


@pytest.fixture
def manager(scene: Scene) -> Client:
    return at_work(scene.advertiser, Role.MANAGER)


class TestExports:
    @pytest.fixture
    def form(self, scene: Scene, manager: Client) -> dict[str, Any]:
        """A form that can be saved: two segments and two columns."""
        first, second = scene.segment("cart", members=3), scene.segment("gift")
        destination = scene.folder_destination()
        typed: dict[str, Any] = {"name": "CRM", "destination": str(destination.pk), "zone": "Europe/Berlin"}
        typed |= {"file_name": "{segment_code}_{date}.csv", "compression": "none"}
        typed |= {"export_segments-TOTAL_FORMS": "2", "export_segments-0-segment": str(first.pk)}
        typed |= {"export_segments-1-segment": str(second.pk), "columns-TOTAL_FORMS": "2"}
        typed |= {"columns-0-what": "identifier:email", "columns-0-header": "Mail"}
        typed |= {"columns-1-what": "constant", "columns-1-detail": "shop"}
        return filled(manager, f"{EXPORTS}add/", **typed)

    def saved(self) -> Export:
        return Export.all_advertisers.get()

    def columns(self, scene: Scene) -> list[tuple[str, str, str, str]]:
        with acting_for(scene.advertiser.pk):
            return list(self.saved().columns.values_list("source", "identifier_kind", "header", "constant"))

    def test_a_nightly_export(self, manager: Client, scene: Scene, form: dict[str, Any]) -> None:
        assert manager.post(f"{EXPORTS}add/", form).status_code == 302
        export = self.saved()
        assert (export.schedule, f"{export.at_time:%H:%M}", export.zone) == ("nightly", "04:00", "Europe/Berlin")
        assert export.next_due_at is not None
        assert self.columns(scene) == [("identifier", "email", "Mail", ""), ("constant", "", "", "shop")]
        page = manager.get(f"{EXPORTS}{export.pk}/overview/").content.decode()
        assert "cart_20" in page
        assert "gift_20" in page

    def test_the_columns_of_a_new_form_are_saved_as_they_came(
        self, manager: Client, scene: Scene, form: dict[str, Any]
    ) -> None:
        fresh = filled(manager, f"{EXPORTS}add/")
        kept = {name: value for name, value in form.items() if not name.startswith("columns-")}
        fresh_columns = {name: value for name, value in fresh.items() if name.startswith("columns-")}
        manager.post(f"{EXPORTS}add/", kept | fresh_columns)
        assert [column[:2] for column in self.columns(scene)] == [("identifier", "customer_id"), ("expires_at", "")]

    def test_lines_are_dragged_removed_and_added(self, manager: Client, scene: Scene, form: dict[str, Any]) -> None:
        manager.post(f"{EXPORTS}add/", form)
        change = f"{EXPORTS}{self.saved().pk}/change/"
        moved = filled(manager, change)
        moved |= {"columns-0-position": "1", "columns-1-position": "0", "export_segments-0-DELETE": "on"}
        moved |= {"columns-TOTAL_FORMS": "3", "columns-2-what": "identifier:partner", "columns-2-detail": "acme"}
        assert manager.post(change, moved).status_code == 302
        kinds = [column[:2] for column in self.columns(scene)]
        assert kinds == [("constant", ""), ("identifier", "email"), ("identifier", "partner:acme")]
        with acting_for(scene.advertiser.pk):
            assert [one.segment.code for one in self.saved().export_segments.all()] == ["gift"]

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"file_name": "{nope}"}, "There is no field {nope}"),
            ({"file_name": "../{date}"}, "holds only letters"),
            ({"file_name": "{export}_{date}.csv"}, "the name needs {segment_code}"),
            ({"file_name": "{segment_code}.csv"}, "every file has one name"),
            ({"split_rows": "5"}, "needs {part}"),
            ({"schedule": "cron", "cron": "* * * * *"}, "at most every 15 minutes"),
            ({"schedule": "once"}, "Say at which time"),
            ({"schedule": "once", "once_at": "2020-01-01T04:00"}, "This time is over"),
            ({"schedule": "once", "once_at": "soon"}, "Write a date and a time"),
            ({"layout": "segment_list"}, "needs a column with the segment"),
            ({"export_segments-TOTAL_FORMS": "0"}, "Choose 1 to 100 segments"),
            ({"columns-TOTAL_FORMS": "0"}, "Choose at least one column"),
            ({"columns-1-what": "identifier:partner", "columns-1-detail": ""}, "partner"),
            ({"columns-0-what": "made_up"}, "not one of the available choices"),
            ({"zone": "Mars/Base"}, "not one of the available choices"),
            ({"null_text": ","}, "text for missing values"),
        ],
    )
    def test_what_does_not_fit_is_said_and_not_saved(
        self, manager: Client, form: dict[str, Any], changes: dict[str, str], problem: str
    ) -> None:
        answer = manager.post(f"{EXPORTS}add/", form | changes)
        assert answer.status_code == 200
        assert problem in answer.content.decode()
        assert not Export.all_advertisers.exists()
        refused = manager.post(f"{EXPORTS}add/rows/", form | changes)
        assert refused.json()["errors"]

    def test_once_is_meant_by_the_exports_own_clock(self, manager: Client, form: dict[str, Any]) -> None:
        manager.post(
            f"{EXPORTS}add/", form | {"schedule": "once", "once_at": "2031-07-01T04:00", "zone": "Asia/Tokyo"}
        )
        assert f"{self.saved().once_at:%Y-%m-%d %H:%M %Z}" == "2031-06-30 19:00 UTC"
        change = manager.get(f"{EXPORTS}{self.saved().pk}/change/").content.decode()
        assert 'value="2031-07-01T04:00"' in change

    def test_the_sketch_tells_names_and_times(self, manager: Client, form: dict[str, Any]) -> None:
        told = manager.post(f"{EXPORTS}add/sketch/", form | {"at_time": "05:30", "compression": "gzip"}).json()
        assert [name[:5] for name in told["names"]] == ["cart_", "gift_"]
        assert all(name.endswith(".csv.gz") for name in told["names"])
        assert len(told["times"]) == 5
        assert all("05:30" in time["local"] for time in told["times"])
        assert all("UTC" in time["utc"] for time in told["times"])
        told = manager.post(
            f"{EXPORTS}add/sketch/", form | {"file_name": "{x}", "schedule": "cron", "cron": "?"}
        ).json()
        assert told["name_errors"]
        assert told["time_errors"]
        assert not told["names"]
        assert not told["times"]
        assert not Export.all_advertisers.exists()

    def test_a_preview_shows_rows_of_a_form_that_is_not_saved(self, manager: Client, form: dict[str, Any]) -> None:
        shown = manager.post(f"{EXPORTS}add/rows/", form).json()
        assert shown["header"] == ["Mail", "constant"]
        assert shown["rows"] == [[f"cart{number}@example.com", "shop"] for number in range(3)]
        assert not Export.all_advertisers.exists()

    def test_a_preview_needs_the_right_to_see_people(self, scene: Scene, form: dict[str, Any]) -> None:
        blind = at_work(scene.advertiser, Role.MANAGER, people=False)
        assert "right to see them" in str(blind.post(f"{EXPORTS}add/rows/", form).json()["errors"])
        export = scene.export(scene.folder_destination(), scene.segment("third", members=1))
        assert blind.post(f"{EXPORTS}{export.pk}/rows-now/").status_code == 403

    def test_run_now_leads_to_the_run(self, manager: Client, scene: Scene) -> None:
        export = scene.export(scene.folder_destination(), scene.segment(members=2))
        answer = manager.post(f"{EXPORTS}{export.pk}/run/")
        run = Run.all_advertisers.get()
        assert answer["Location"] == f"{RUNS}{run.pk}/overview/"
        work_on(run.pk)
        assert scene.fresh(run).state == "delivered"
        assert history() == [f"Started {run}."]

    def test_run_now_says_why_not(self, manager: Client, scene: Scene) -> None:
        export = scene.export(scene.folder_destination(state="draft"), scene.segment())
        page = manager.post(f"{EXPORTS}{export.pk}/run/", follow=True).content.decode()
        assert "Test its connection first" in page
        manager.post(f"{EXPORTS}{export.pk}/run/", {"only_write": "1"})
        assert Run.all_advertisers.get().is_to_be_sent is False

    def test_an_export_that_ran_is_switched_off_and_not_deleted(self, manager: Client, scene: Scene) -> None:
        export = scene.export(scene.folder_destination(), scene.segment(members=1))
        scene.run(export)
        page = manager.post(f"{EXPORTS}{export.pk}/delete/", {"post": "yes"}).content.decode()
        assert "Switch it off instead" in page or Export.all_advertisers.filter(pk=export.pk).exists()
        fresh = scene.export(export.destination, scene.segment("gift"))
        manager.post(f"{EXPORTS}{fresh.pk}/delete/", {"post": "yes"})
        assert list(Export.all_advertisers.all()) == [export]
