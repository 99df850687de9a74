"""What people ask of runs: start, cancel, send again, run again; what the command says; what is kept."""

import io
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from audience.tenancy import acting_for
from exports import retention, runs
from exports.models import Export, Run, RunFile
from exports.progress import progress_of
from exports.reasons import REASONS, Refused, sentence
from exports.working import work_on
from tests.exports.scene import Scene, check_set, crash, names, sha256
from tests.exports.servers import Sshd

NAME = "cart_2027-03-01.csv"


@pytest.fixture
def export(scene: Scene) -> Export:
    return scene.export(scene.folder_destination(), scene.segment(members=3))


class TestStart:
    def test_one_open_run_for_an_export(self, scene: Scene, export: Export) -> None:
        scene.start(export)
        with pytest.raises(Refused, match="under way"):
            scene.start(export)

    @pytest.mark.parametrize(("state", "words"), [("draft", "Test its connection"), ("paused", "Switch it on")])
    def test_a_destination_that_is_not_ready(self, scene: Scene, export: Export, state: str, words: str) -> None:
        scene.set(export.destination, state=state)
        with pytest.raises(Refused, match=words):
            scene.start(export)
        assert scene.run(export, is_to_be_sent=False).reason == "not_sent"

    def test_a_deleted_segment_ends_the_run_with_its_name(self, scene: Scene, export: Export) -> None:
        with acting_for(scene.advertiser.pk):
            export.segments.update(deleted_at=datetime.now(UTC))
        run = scene.run(export)
        assert (run.state, run.error) == (
            "failed", "Cart was deleted. Choose another segment for this export.")  # fmt: skip

    def test_a_fault_of_ours_is_recorded_and_not_tried_again(
        self, scene: Scene, export: Export, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("exports.writing.plan_of", lambda _: 1 / 0)
        run = scene.run(export)
        assert (run.state, run.reason) == ("failed", "internal_error")
        assert "ZeroDivision" not in run.error


class TestCancel:
    def test_before_it_has_begun(self, scene: Scene, export: Export) -> None:
        run = scene.start(export)
        with acting_for(scene.advertiser.pk):
            runs.cancel_run(run, cancelled_by="Ana")
        work_on(run.pk)
        cancelled = scene.fresh(run)
        assert (cancelled.state, cancelled.facts["by"]) == ("cancelled", "Ana")
        assert not scene.out.exists()
        with acting_for(scene.advertiser.pk), pytest.raises(Refused, match="ended"):
            runs.cancel_run(cancelled)

    @pytest.mark.sshd
    @pytest.mark.parametrize("point", ["export.part", "export.uploaded", "export.waiting"])
    def test_what_it_had_begun_is_removed(self, scene: Scene, sshd: Sshd, point: str) -> None:
        run = scene.start(scene.export(scene.sftp_destination(sshd), scene.segment(members=3)))
        if point == "export.waiting":
            crash(run, "export.part")
            scene.free(run)
            sshd.stop()
        crash(run, point)
        assert names(sshd.files) == [f"{NAME}.part"]
        if point == "export.waiting":
            sshd.start()
        with acting_for(scene.advertiser.pk):
            runs.cancel_run(run)
        scene.free(run)
        work_on(run.pk)
        assert scene.fresh(run).state == "cancelled"
        assert names(sshd.files) == []

    def test_while_a_worker_is_at_it(self, scene: Scene, export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
        run = scene.start(export)

        def cancel_in_the_midst(point: str) -> None:
            if point == "export.uploaded":
                with acting_for(scene.advertiser.pk):
                    runs.cancel_run(run)

        monkeypatch.setattr("exports.sending.crash_point", cancel_in_the_midst)
        work_on(run.pk)
        assert scene.fresh(run).state == "cancelled"
        assert names(scene.out) == []

    def test_not_once_the_receiver_sees_a_file(self, scene: Scene, export: Export) -> None:
        run = scene.start(export)
        crash(run, "export.renamed")
        with acting_for(scene.advertiser.pk), pytest.raises(Refused, match="already visible"):
            runs.cancel_run(run)
        scene.free(run)
        work_on(run.pk)
        assert scene.fresh(run).state == "delivered"


class TestAgain:
    def test_the_same_bytes_are_sent_again(self, scene: Scene, export: Export) -> None:
        first = scene.run(export)
        before = sha256(scene.out / NAME)
        with acting_for(scene.advertiser.pk):
            scene.member(export.segments.get(), email="late@example.com")
        shutil.rmtree(scene.out)
        with acting_for(scene.advertiser.pk):
            again = runs.send_again(first, started_by="Ana")
        work_on(again.pk)
        again = scene.fresh(again)
        assert (again.state, again.retry_of_id, again.as_of, again.rows_written) == (
            "delivered", first.pk, first.as_of, 3)  # fmt: skip
        assert sha256(scene.out / NAME) == before
        check_set(scene.out, again)

    def test_files_that_are_kept_no_longer_are_not_sent_again(self, scene: Scene, export: Export) -> None:
        run = scene.run(export)
        Run.all_advertisers.update(ended_at=datetime.now(UTC) - timedelta(days=8))
        assert retention.drop_kept_files() == 1
        assert retention.drop_kept_files() == 0
        assert not list(scene.run_folder.iterdir())
        with acting_for(scene.advertiser.pk):
            assert not runs.has_kept_files(scene.fresh(run))
            with pytest.raises(Refused, match="no longer kept"):
                runs.send_again(scene.fresh(run))
        assert scene.again(run).state == "delivered"

    def test_a_failed_runs_files_are_sent_without_a_second_snapshot(self, scene: Scene, export: Export) -> None:
        scene.out.mkdir(parents=True)
        (scene.out / NAME).write_text("a stranger's")
        Export.all_advertisers.update(name_taken="fail")
        failed = scene.run(export)
        assert failed.reason == "name_taken"
        (scene.out / NAME).unlink()
        with acting_for(scene.advertiser.pk):
            again = runs.send_again(failed)
        work_on(again.pk)
        assert scene.fresh(again).as_of == failed.as_of
        assert names(scene.out) == [NAME, f"{NAME}.manifest.json"]

    def test_files_of_another_machine_are_written_anew(self, scene: Scene, export: Export) -> None:
        """Bytes written anew go by another `.part` name, and what was begun before is taken away."""
        run = scene.start(export)
        crash(run, "export.part")
        shutil.rmtree(scene.run_folder)
        scene.free(run)
        work_on(run.pk)
        assert scene.fresh(run).state == "queued"
        work_on(run.pk)
        delivered = scene.fresh(run)
        assert delivered.state == "delivered"
        with acting_for(scene.advertiser.pk):
            parts = RunFile.objects.filter(run=run, kind="part").order_by("claim").values_list("part_name", flat=True)
        assert list(parts) == [f"{NAME}.part", f"{NAME}.2.part"]
        check_set(scene.out, delivered)


class TestProgress:
    def test_a_run_shows_how_far_it_is(self, scene: Scene, export: Export) -> None:
        shown = progress_of(scene.run(export))
        assert (shown.rows_written, shown.rows_expected, shown.is_open) == (3, 3, False)
        assert shown.bytes_sent == shown.bytes_packed > 0
        assert (shown.tries, shown.most_tries) == (1, 6)

    def test_a_waiting_run_says_when_it_tries_again(self, scene: Scene, export: Export) -> None:
        run = scene.start(export)
        Run.all_advertisers.filter(pk=run.pk).update(
            state="waiting", reason="stalled", facts={"sent_mb": 3, "total_mb": 9}
        )
        expected = "The server took no more after 3 of 9 MB. Nothing was published. Next try at a little later."
        assert progress_of(scene.fresh(run)).sentence == expected


@pytest.mark.parametrize("reason", [reason.code for reason in REASONS])
def test_every_reason_reads_well_without_its_facts(reason: str) -> None:
    text = sentence(reason, {})
    assert text[0].isupper()
    assert text.endswith((".", "?"))
    assert "{" not in text


class TestCommand:
    def call(self, *words: str) -> tuple[int, str]:
        out = io.StringIO()
        try:
            call_command("run_export", *words, stdout=out)
        except CommandError as error:
            return error.returncode, out.getvalue() + str(error)
        return 0, out.getvalue()

    def test_it_delivers(self, scene: Scene, export: Export) -> None:
        code, text = self.call(str(export.pk))
        assert code == 0
        assert "Delivered." in text
        assert "3 rows" in text
        assert len(names(scene.out)) == 2

    def test_it_only_writes(self, scene: Scene, export: Export) -> None:
        code, text = self.call(export.name, "--no-deliver")
        assert (code, "Sending was not asked for" in text) == (0, True)
        assert not scene.out.exists()

    @pytest.mark.parametrize(
        ("changes", "code"), [({"empty": "skip"}, 3), ({"empty": "fail"}, 1), ({"minimum_size": 10}, 3)]
    )
    def test_its_exit_code_says_how_it_ended(self, scene: Scene, changes: dict[str, object], code: int) -> None:
        export = scene.export(scene.folder_destination(), scene.segment(), **changes)
        assert self.call(str(export.pk))[0] == code

    def test_it_refuses(self, scene: Scene, export: Export) -> None:
        assert self.call("nothing like it")[0] == 2
        scene.set(export.destination, state="draft")
        assert self.call(str(export.pk))[0] == 2
