"""The main job: members of a segment as a CSV file at the receiver, whole, with its manifest."""

import pytest

from tests.exports.scene import Scene, check_set, members_by_sql, names, read_csv
from tests.exports.servers import Sshd


@pytest.mark.spec("E2")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_members_of_a_segment_go_to_a_folder(scene: Scene, compression: str) -> None:
    segment = scene.segment(members=5)
    run = scene.run(scene.export(scene.folder_destination(), segment, compression=compression))

    assert (run.state, run.error) == ("delivered", "")
    ending = ".gz" if compression == "gzip" else ""
    assert names(scene.out) == [f"cart_2027-03-01.csv{ending}", f"cart_2027-03-01.csv{ending}.manifest.json"]
    header, *rows = read_csv(scene.out / f"cart_2027-03-01.csv{ending}")
    assert header == ["email"]
    assert {row[0] for row in rows} == members_by_sql(segment, run.as_of)
    assert check_set(scene.out, run)["totals"]["rows"] == 5


@pytest.mark.sshd
@pytest.mark.spec("E2")
def test_the_members_of_a_segment_go_to_an_sftp_server(scene: Scene, sshd: Sshd) -> None:
    segment = scene.segment(members=5)
    run = scene.run(scene.export(scene.sftp_destination(sshd), segment, has_sentinel=True))

    assert (run.state, run.error) == ("delivered", "")
    name = "cart_2027-03-01.csv"
    assert names(sshd.files) == [name, f"{name}.done", f"{name}.manifest.json"]
    assert {row[0] for row in read_csv(sshd.files / name)[1:]} == members_by_sql(segment, run.as_of)
    check_set(sshd.files, run)
    assert run.host_key.startswith("SHA256:")


def test_the_files_kept_here_are_private_to_the_service(scene: Scene) -> None:
    scene.run(scene.export(scene.folder_destination(), scene.segment(members=1)))
    kept = [scene.run_folder, *scene.run_folder.rglob("*")]
    assert len(kept) == 5
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}
