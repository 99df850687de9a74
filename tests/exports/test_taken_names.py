"""Files that stand under a name already: ours give way where they may, a stranger's never does."""

import pytest

from exports.working import work_on
from tests.exports.scene import Scene, crash, names
from tests.exports.servers import Sshd

NAME = "cart_2027-03-01.csv"


class TestTakenNames:
    @pytest.mark.spec("X7")
    @pytest.mark.spec("E4")
    @pytest.mark.sshd
    @pytest.mark.parametrize("kind", ["folder", "sftp"])
    @pytest.mark.parametrize(
        ("policy", "state"), [("number", "delivered"), ("fail", "failed"), ("replace", "failed")]
    )
    def test_a_strangers_file_stands_under_the_name(
        self, scene: Scene, sshd: Sshd, kind: str, policy: str, state: str
    ) -> None:
        destination = scene.folder_destination() if kind == "folder" else scene.sftp_destination(sshd)
        folder = scene.out if kind == "folder" else sshd.files
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NAME).write_text("a stranger's")
        (folder / f"{NAME}.part").write_text("another stranger's")
        run = scene.run(scene.export(destination, scene.segment(members=1), name_taken=policy))
        assert run.state == state
        assert (folder / NAME).read_text() == "a stranger's"
        assert (folder / f"{NAME}.part").read_text() == "another stranger's"
        if state == "delivered":
            assert (folder / "cart_2027-03-01_2.csv").exists()
        else:
            assert run.error.startswith(f"{NAME} exists and Muster did not write it.")
            assert names(folder) == [NAME, f"{NAME}.part"]

    @pytest.mark.spec("X7")
    @pytest.mark.sshd
    @pytest.mark.parametrize("kind", ["folder", "sftp"])
    @pytest.mark.parametrize("policy", ["number", "fail"])
    def test_a_strangers_file_comes_between_our_look_and_our_rename(
        self, scene: Scene, sshd: Sshd, kind: str, policy: str
    ) -> None:
        destination = scene.folder_destination() if kind == "folder" else scene.sftp_destination(sshd)
        folder = scene.out if kind == "folder" else sshd.files
        run = scene.start(scene.export(destination, scene.segment(members=1), name_taken=policy))
        crash(run, "export.uploaded")
        content = (folder / f"{NAME}.part").read_bytes()
        (folder / NAME).write_bytes(content)  # of the very same size
        (folder / NAME).chmod(0o600)
        stranger = (folder / NAME).stat()
        scene.free(run)
        work_on(run.pk)
        ended = scene.fresh(run)
        assert (folder / NAME).stat().st_ino == stranger.st_ino
        if policy == "number":
            assert ended.state == "delivered"
            assert (folder / "cart_2027-03-01_2.csv").read_bytes() == content
        else:
            assert (ended.state, ended.reason) == ("failed", "name_taken")
            assert names(folder) == [NAME]

    def test_with_replace_only_an_unchanged_file_of_this_export_gives_way(self, scene: Scene) -> None:
        segment, destination = scene.segment(members=1), scene.folder_destination()
        export = scene.export(destination, segment, name_taken="replace", file_name="cart.csv", has_manifest=False)
        assert scene.run(export).state == scene.run(export).state == "delivered"
        assert names(scene.out) == ["cart.csv"]
        (scene.out / "cart.csv").write_text("somebody wrote more here")
        assert scene.run(export).reason == "name_taken"
        assert (scene.out / "cart.csv").read_text() == "somebody wrote more here"

    def test_another_export_of_ours_is_a_stranger_too(self, scene: Scene) -> None:
        segment, destination = scene.segment(members=1), scene.folder_destination()
        for _ in range(2):
            scene.run(scene.export(destination, segment, has_manifest=False))
        assert names(scene.out) == [NAME, "cart_2027-03-01_2.csv"]

    def test_files_of_a_destination_that_was_moved_are_strangers(self, scene: Scene) -> None:
        segment, destination = scene.segment(members=1), scene.folder_destination()
        first = scene.run(scene.export(destination, segment, has_manifest=False))
        other = scene.folder / "elsewhere"
        other.mkdir()
        (other / NAME).write_bytes((scene.out / NAME).read_bytes())
        scene.set(destination, path="elsewhere")
        scene.again(first)
        assert names(other) == [NAME, "cart_2027-03-01_2.csv"]
