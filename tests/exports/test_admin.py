"""Destinations, exports and runs in the admin: what each role may do, what a form refuses, what is never shown."""

import csv
import gzip
import io
import json
from typing import Any

import asyncssh
import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from audience.models import Role
from audience.tenancy import acting_for
from exports.models import ConnectionTest, Destination, DestinationSecret, Export, HostKey, Run
from exports.vault import secret_of
from exports.working import work_on
from tests.admins import at_work, form_of
from tests.exports.scene import CUSTOMER, EMAIL, Scene
from tests.exports.servers import PasswordServer, Sshd
from tests.factories import make_advertiser

DESTINATIONS, EXPORTS, RUNS = (f"/admin/exports/{name}/" for name in ("destination", "export", "run"))
WORD = "correct horse battery"
FORMULA = {"source": "constant", "constant": "=1+1", "header": "note"}


@pytest.fixture
def owner(scene: Scene) -> Client:
    return at_work(scene.advertiser)


@pytest.fixture
def manager(scene: Scene) -> Client:
    return at_work(scene.advertiser, Role.MANAGER)


def filled(browser: Client, link: str, **changes: Any) -> dict[str, Any]:
    return form_of(browser.get(link).content.decode(), having="name") | changes


def body_of(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(content.decode())


def lines_of(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body_of(answer).splitlines()]


def errors_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def history() -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]


class TestDestinations:
    def sftp(self, browser: Client, **changes: Any) -> dict[str, Any]:
        typed = {"name": "CRM", "host": "sftp.example.com", "username": "ana", "password": WORD}
        return filled(browser, f"{DESTINATIONS}add/", **typed | changes)

    def folder(self, browser: Client, **changes: Any) -> dict[str, Any]:
        return filled(
            browser,
            f"{DESTINATIONS}add/",
            **{"name": "Files", "kind": "folder", "root": "test", "path": "out"} | changes,
        )

    def test_a_folder_is_tested_unsaved_and_ready_when_saved(self, owner: Client, scene: Scene) -> None:
        form = self.folder(owner)
        first, *steps, last = lines_of(owner.post(f"{DESTINATIONS}add/try/", form))
        assert first["steps"] == len(steps)
        assert {step["outcome"] for step in steps} == {"ok"}
        assert last["is_passed"]
        assert not Destination.all_advertisers.exists()
        owner.post(f"{DESTINATIONS}add/", form)
        assert Destination.all_advertisers.get().state == "ready"
        assert list(scene.out.iterdir()) == []

    def test_an_untested_destination_is_a_draft_until_its_test_has_passed(self, owner: Client) -> None:
        owner.post(f"{DESTINATIONS}add/", self.folder(owner))
        row = Destination.all_advertisers.get()
        assert row.state == "draft"
        assert lines_of(owner.post(f"{DESTINATIONS}{row.pk}/test/"))[-1] == {"is_passed": True, "state": "ready"}
        assert "The folder exists" in owner.get(f"{DESTINATIONS}{row.pk}/overview/").content.decode()

    @pytest.mark.parametrize("path", ["../up", "/etc", "a//b", "a/../b", ".hidden"])
    def test_a_folder_never_leads_out_of_its_root(self, owner: Client, path: str) -> None:
        assert "path" in errors_of(owner.post(f"{DESTINATIONS}add/", self.folder(owner, path=path)))

    def test_a_root_that_nobody_named_is_no_choice(self, owner: Client) -> None:
        assert "root" in errors_of(owner.post(f"{DESTINATIONS}add/", self.folder(owner, root="etc")))

    @pytest.mark.spec("E10")
    def test_a_secret_goes_in_and_never_comes_out(self, owner: Client, scene: Scene) -> None:
        refused = owner.post(f"{DESTINATIONS}add/", self.sftp(owner, host="sftp://no"))
        assert "host" in errors_of(refused)
        owner.post(f"{DESTINATIONS}add/", self.sftp(owner))
        row = Destination.all_advertisers.get()
        with acting_for(scene.advertiser.pk):
            assert secret_of(row, "password") == WORD
        pages = [
            refused,
            *(owner.get(f"{DESTINATIONS}{row.pk}/{page}/") for page in ("overview", "change", "history")),
        ]
        assert not [page for page in pages if WORD in page.content.decode()]
        assert not [page for page in pages if DestinationSecret.all_advertisers.get().sealed in page.content.decode()]
        assert "Set on" in pages[2].content.decode()
        assert WORD not in " ".join(history())

    @pytest.mark.spec("E10")
    def test_a_private_key_is_not_put_back_into_a_refused_form(self, owner: Client) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
        form = self.sftp(owner, login="key", private_key=key, username="")
        assert key.splitlines()[1] not in owner.post(f"{DESTINATIONS}add/", form).content.decode()

    def test_an_empty_password_keeps_the_stored_one(self, owner: Client, scene: Scene) -> None:
        owner.post(f"{DESTINATIONS}add/", self.sftp(owner))
        row = Destination.all_advertisers.get()
        change = f"{DESTINATIONS}{row.pk}/change/"
        assert owner.post(change, filled(owner, change, name="Other")).status_code == 302
        with acting_for(scene.advertiser.pk):
            assert secret_of(row, "password") == WORD

    @pytest.mark.spec("E10")
    @pytest.mark.parametrize("other", [{"host": "evil.example.com"}, {"port": "2222"}, {"username": "eve"}])
    def test_a_stored_password_follows_to_no_other_server(self, owner: Client, other: dict[str, str]) -> None:
        owner.post(f"{DESTINATIONS}add/", self.sftp(owner))
        change = f"{DESTINATIONS}{Destination.all_advertisers.get().pk}/change/"
        answer = owner.post(change, filled(owner, change, **other))
        assert "enter the password again" in str(errors_of(answer)["password"])
        tried = owner.post(change.replace("change", "try"), filled(owner, change, **other))
        assert "enter the password again" in str(json.loads(tried.content)["errors"])

    def test_a_key_pair_made_here_shows_its_public_half(self, owner: Client) -> None:
        form = self.sftp(owner, login="key", password="", makes_key="on")
        assert "Save first" in owner.post(f"{DESTINATIONS}add/try/", form).content.decode()
        page = owner.post(f"{DESTINATIONS}add/", form, follow=True).content.decode()
        row = Destination.all_advertisers.get()
        assert row.public_key.startswith("ssh-ed25519 ")
        assert row.public_key in page
        assert "PRIVATE KEY" not in page

    def test_only_an_owner_calls_a_receiver_our_own(self, owner: Client, manager: Client) -> None:
        assert "receiver" in errors_of(manager.post(f"{DESTINATIONS}add/", self.folder(manager, receiver="own")))
        assert owner.post(f"{DESTINATIONS}add/", self.folder(owner, receiver="own")).status_code == 302

    def test_pause_and_resume(self, manager: Client, scene: Scene) -> None:
        row = scene.folder_destination()
        for page, state in (("pause", "paused"), ("resume", "ready")):
            assert manager.get(f"{DESTINATIONS}{row.pk}/{page}/").status_code == 405
            manager.post(f"{DESTINATIONS}{row.pk}/{page}/")
            row.refresh_from_db()
            assert row.state == state
        assert history() == ["Paused.", "Resumed."]

    def test_a_destination_that_exports_need_is_not_deleted(self, manager: Client, scene: Scene) -> None:
        row = scene.folder_destination()
        export = scene.export(row, scene.segment())
        link = f"{DESTINATIONS}{row.pk}/delete/"
        assert export.name in manager.get(link).content.decode()
        manager.post(link, {"post": "yes"})
        assert Destination.all_advertisers.filter(pk=row.pk).exists()
        with acting_for(scene.advertiser.pk):
            export.delete()
        manager.post(link, {"post": "yes"})
        assert not Destination.all_advertisers.filter(pk=row.pk).exists()


@pytest.mark.sshd
class TestHostKey:
    @pytest.fixture
    def form(self, owner: Client, sshd: Sshd) -> dict[str, Any]:
        typed = {"name": "CRM", "host": "127.0.0.1", "port": str(sshd.port), "username": sshd.username}
        return filled(owner, f"{DESTINATIONS}add/", login="key", private_key=sshd.private_key, **typed)

    def fetch(self, browser: Client, form: dict[str, Any], link: str = f"{DESTINATIONS}add/fetch-key/") -> Any:
        return browser.post(link, {"host": form["host"], "port": form["port"]}).json()

    @pytest.mark.spec("E9")
    def test_a_pasted_equal_fingerprint_confirms(self, owner: Client, sshd: Sshd, form: dict[str, Any]) -> None:
        key = self.fetch(owner, form)
        public = asyncssh.import_public_key(sshd.public_host_key)
        assert (key["type"], key["bits"], key["fingerprint"]) == ("ssh-ed25519", 256, public.get_fingerprint())
        assert sshd.username not in "".join(line for line in sshd.log.splitlines() if "user" in line.lower())
        form |= {"fetched_key": key["signed"], "fingerprint": key["fingerprint"]}
        assert lines_of(owner.post(f"{DESTINATIONS}add/try/", form))[-1]["is_passed"]
        owner.post(f"{DESTINATIONS}add/", form)
        assert Destination.all_advertisers.get().state == "ready"
        confirmed = HostKey.all_advertisers.get()
        assert (confirmed.how, confirmed.public_key) == ("pasted", sshd.public_host_key)
        assert any(key["fingerprint"] in line for line in history())

    @pytest.mark.spec("E9")
    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"fingerprint": "SHA256:" + "A" * 43}, "not the one that the server shows"),
            ({"fingerprint": "yes"}, "not the one that the server shows"),
            ({"is_compared": "on", "fetched_key": ""}, "Fetch the key first"),
            ({"is_compared": "on", "fetched_key": "made:up:x"}, "Fetch the key again"),
            ({"is_compared": "on", "host": "localhost"}, "host or port are others"),
        ],
    )
    def test_what_does_not_confirm(
        self, owner: Client, form: dict[str, Any], changes: dict[str, str], problem: str
    ) -> None:
        form |= {"fetched_key": self.fetch(owner, form)["signed"]} | changes
        assert problem in str(errors_of(owner.post(f"{DESTINATIONS}add/", form))["fingerprint"])
        assert not Destination.all_advertisers.exists()

    @pytest.mark.spec("E9")
    def test_a_manager_confirms_nothing(self, manager: Client, form: dict[str, Any]) -> None:
        key = self.fetch(manager, form)
        form |= {"fetched_key": key["signed"], "fingerprint": key["fingerprint"], "is_compared": "on"}
        steps = lines_of(manager.post(f"{DESTINATIONS}add/try/", form))
        assert [step["step"] for step in steps if step.get("outcome") == "failed"] == ["host_key"]
        manager.post(f"{DESTINATIONS}add/", form)
        assert Destination.all_advertisers.get().state == "draft"
        assert not HostKey.all_advertisers.exists()
        assert "Only an owner" in manager.get(f"{DESTINATIONS}add/").content.decode()

    def test_another_key_is_shown_beside_the_confirmed_one(self, owner: Client, scene: Scene, sshd: Sshd) -> None:
        row = scene.sftp_destination(sshd)
        link, where = f"{DESTINATIONS}{row.pk}/fetch-key/", {"host": row.host, "port": str(row.port)}
        assert self.fetch(owner, where, link)["is_confirmed"] is True
        sshd.stop()
        sshd.make_host_key()
        sshd.start()
        shown = self.fetch(owner, where, link)
        assert shown["is_confirmed"] is False
        assert shown["confirmed"][0]["fingerprint"] != shown["fingerprint"]

    def test_a_port_that_is_not_allowed_is_not_asked(self, owner: Client) -> None:
        assert "not allowed" in self.fetch(owner, {"host": "127.0.0.1", "port": "25"})["error"]

    def test_a_password_is_tried_as_it_stands_in_the_form(
        self, owner: Client, scene: Scene, password_server: PasswordServer
    ) -> None:
        row = scene.sftp_destination(password_server, password="wrong horse")
        change = f"{DESTINATIONS}{row.pk}/change/"
        form = filled(owner, change, password="correct horse")
        assert lines_of(owner.post(f"{DESTINATIONS}{row.pk}/try/", form))[-1] == {"is_passed": True, "state": ""}
        owner.post(change, form)
        row.refresh_from_db()
        assert row.state == "ready"
        tests = [str(test.steps) + test.settings_digest for test in ConnectionTest.all_advertisers.all()]
        assert "horse" not in "".join(tests)


class TestRuns:
    def run(self, scene: Scene, **fields: Any) -> Run:
        segment = scene.segment(members=2)
        scene.member(segment, email="alone@example.com")
        columns = [{**CUSTOMER, "is_required": True}, EMAIL, FORMULA]
        return scene.run(scene.export(scene.folder_destination(), segment, columns=columns, **fields))

    def test_a_viewer_sees_the_run_and_no_person(self, scene: Scene) -> None:
        run = self.run(scene)
        viewer = at_work(scene.advertiser, Role.VIEWER, people=False)
        page = viewer.get(f"{RUNS}{run.pk}/overview/").content.decode()
        assert "Delivered" in page
        assert "a required identifier is missing" in page
        assert "example.com" not in page
        assert all(word not in page for word in ("Send again", "Run again", "/download/"))
        assert run.export.name in viewer.get(RUNS).content.decode()
        part = viewer.get(f"{RUNS}{run.pk}/overview/?part=live").content.decode()
        assert 'data-open="no"' in part
        assert "<html" not in part

    def test_the_size_is_shown_when_it_was_packed_at_the_end(self, scene: Scene, manager: Client) -> None:
        run = self.run(scene, compression="gzip")
        assert run.bytes_packed == run.bytes_sent > 0

    @pytest.mark.spec("X38")
    @pytest.mark.parametrize("compression", ["none", "gzip"])
    def test_a_download_is_safe_in_a_spreadsheet_and_written_down(self, scene: Scene, compression: str) -> None:
        run = self.run(scene, compression=compression)
        analyst = at_work(scene.advertiser, Role.ANALYST, people=True)
        answer = analyst.get(f"{RUNS}{run.pk}/download/?file=1")
        content = b"".join(answer.streaming_content)
        text = (gzip.decompress(content) if compression == "gzip" else content).decode()
        assert list(csv.reader(io.StringIO(text)))[1] == ["cart-0000", "cart0@example.com", "'=1+1"]
        assert "attachment" in answer["Content-Disposition"]
        assert "no-store" in answer["Cache-Control"]
        (entry,) = LogEntry.objects.all()
        assert entry.change_message.startswith("Downloaded cart_2027-03-01.csv")
        assert (entry.object_id, "2 rows" in entry.change_message) == (str(run.pk), True)
        assert (
            b"'=1+1" not in gzip.decompress(next(scene.out.glob("*.gz")).read_bytes())
            if compression == "gzip"
            else True
        )

    @pytest.mark.spec("X38")
    def test_a_download_needs_the_right_to_see_people(self, scene: Scene) -> None:
        run = self.run(scene)
        for role in (Role.ANALYST, Role.MANAGER):
            blind = at_work(scene.advertiser, role, people=False)
            assert blind.get(f"{RUNS}{run.pk}/download/?file=1").status_code == 403
        assert not LogEntry.objects.exists()

    @pytest.mark.spec("X38")
    def test_a_file_that_is_no_longer_kept(self, scene: Scene, manager: Client) -> None:
        run = self.run(scene)
        for file in scene.run_folder.rglob("0001"):
            file.unlink()
        page = manager.get(f"{RUNS}{run.pk}/download/?file=1", follow=True).content.decode()
        assert "no longer kept" in page
        assert manager.get(f"{RUNS}{run.pk}/download/?file=99").status_code == 404
        assert "no longer kept" in manager.post(f"{RUNS}{run.pk}/send-again/", follow=True).content.decode()

    def test_cancel_send_again_and_run_again(self, scene: Scene, manager: Client) -> None:
        run = self.run(scene)
        answer = manager.post(f"{RUNS}{run.pk}/send-again/")
        again = Run.all_advertisers.latest("pk")
        assert (answer["Location"], again.retry_of) == (f"{RUNS}{again.pk}/overview/", run)
        assert "under way" in manager.post(f"{RUNS}{run.pk}/run-again/", follow=True).content.decode()
        manager.post(f"{RUNS}{again.pk}/cancel/")
        work_on(again.pk)
        assert scene.fresh(again).state == "cancelled"
        manager.post(f"{RUNS}{run.pk}/run-again/")
        assert Run.all_advertisers.latest("pk").state == "queued"
        assert history() == ["Sent again.", "Cancelled.", "Run again."]

    def test_a_run_says_where_it_failed(self, scene: Scene, manager: Client) -> None:
        row = scene.folder_destination()
        scene.set(row, root="gone")
        run = scene.run(scene.export(row, scene.segment(members=1)))
        page = manager.get(f"{RUNS}{run.pk}/overview/").content.decode()
        assert "folder_missing" in page
        assert "does not exist" in page


POSTED = [
    *(f"{DESTINATIONS}{{destination}}/{page}/" for page in ("test", "try", "fetch-key", "pause", "resume", "delete")),
    *(f"{EXPORTS}{{export}}/{page}/" for page in ("run", "rows", "rows-now", "sketch", "change", "delete")),
    *(f"{RUNS}{{run}}/{page}/" for page in ("cancel", "send-again", "run-again")),
]


@pytest.fixture
def ids(scene: Scene) -> dict[str, int]:
    run = scene.run(scene.export(scene.folder_destination(), scene.segment(members=1)))
    return {"destination": run.destination_id, "export": run.export_id, "run": run.pk}


@pytest.mark.spec("E11")
@pytest.mark.parametrize("link", POSTED)
def test_another_advertisers_id_is_one_that_never_was(scene: Scene, ids: dict[str, int], link: str) -> None:
    stranger = at_work(make_advertiser())
    count = Run.all_advertisers.count()
    theirs = stranger.post(link.format(**ids), {"post": "yes"})
    never = stranger.post(link.format(**dict.fromkeys(ids, 999_999_999)), {"post": "yes"})
    assert theirs.status_code == never.status_code == 404
    assert (Run.all_advertisers.count(), LogEntry.objects.count()) == (count, 0)


@pytest.mark.spec("E11")
@pytest.mark.parametrize("page", ["", "rows/", "sketch/"])
def test_a_form_takes_no_row_of_another_advertiser(scene: Scene, ids: dict[str, int], page: str) -> None:
    other = make_advertiser()
    stranger = at_work(other)
    theirs = scene.segment("canary")
    changes = {"name": "X", "destination": str(ids["destination"]), "export_segments-0-segment": str(theirs.pk)}
    form = filled(stranger, f"{EXPORTS}add/", **changes)
    answer = stranger.post(f"{EXPORTS}add/{page}", form)
    assert "canary" not in answer.content.decode()
    assert Export.all_advertisers.filter(advertiser=other).count() == 0


@pytest.mark.spec("S6")
@pytest.mark.parametrize("link", POSTED)
@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST])
def test_who_may_only_look_changes_nothing(scene: Scene, ids: dict[str, int], link: str, role: Role) -> None:
    count = Run.all_advertisers.count()
    assert at_work(scene.advertiser, role).post(link.format(**ids), {"post": "yes"}).status_code == 403
    assert Run.all_advertisers.count() == count


@pytest.mark.spec("X20")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252"])
@pytest.mark.parametrize("form", [{}, {"quoting": "all", "delimiter": ";", "line_end": "lf"}, {"delimiter": "tab"}])
def test_a_download_differs_from_the_file_by_the_sign_alone(
    scene: Scene, encoding: str, form: dict[str, str]
) -> None:
    segment = scene.segment("minus", name='=1+1;"ä",\n@x', members=2)
    phone = scene.member(segment, phone="+4917012345678")
    columns = [{"source": "identifier", "identifier_kind": "phone"}, {"source": "segment_name", "header": "-name"}]
    fields = {"columns": columns, "encoding": encoding, "file_name": "{run}.csv"} | form
    run = scene.run(scene.export(scene.folder_destination(), segment, **fields))
    answer = at_work(scene.advertiser).get(f"{RUNS}{run.pk}/download/?file=1")
    downloaded, delivered = b"".join(answer.streaming_content), (scene.out / f"{run.pk}.csv").read_bytes()
    assert phone.pk
    assert downloaded[:3] == delivered[:3]
    expected = delivered.decode(encoding).replace("=1+1", "'=1+1").replace("-name", "'-name")
    assert downloaded.decode(encoding) == expected
