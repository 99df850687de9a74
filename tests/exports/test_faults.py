"""Killed workers, broken servers, strangers' files: the set is whole or absent, and nothing else is touched."""

import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from audience.crash import CRASH_POINTS
from audience.tenancy import acting_for
from exports import calendar
from exports.destinations import sftp
from exports.lease import is_free
from exports.models import Destination, Export, Run, RunFile, RunTry
from exports.working import work_on
from tests.exports.scene import (
    EMAIL,
    Scene,
    Worker,
    check_set,
    crash,
    members_by_sql,
    names,
    read_csv,
    sha256,
)
from tests.exports.servers import Sshd, descendants
from tests.running import until

NAME = "cart_2027-03-01.csv"
PARTS = [f"cart_2027-03-01_{number:03}.csv" for number in (1, 2, 3)]
POINTS = [point for point in CRASH_POINTS if point.startswith("export.")]


def set_of_three(scene: Scene, destination: Destination, **fields: object) -> Export:
    segment = scene.segment(members=6)
    return scene.export(
        destination, segment, file_name="cart_{date}_{part}.csv", split_rows=2, has_sentinel=True, **fields
    )


def expected_names() -> list[str]:
    return sorted([*PARTS, f"{PARTS[0]}.manifest.json", f"{PARTS[0]}.done"])


class Watcher:
    """Lists a folder all the time; what it saw is checked against what the set came to be."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen, self._stop = folder, set(), threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            try:
                found = {entry.name: entry.stat().st_size for entry in os.scandir(self.folder)}
            except FileNotFoundError:
                continue
            self.seen.add(tuple(sorted(found.items())))

    def check(self, files: list[str], last: str) -> None:
        """No final name with another size than its last one, and nothing of the set after its sentinel."""
        final = {name: (self.folder / name).stat().st_size for name in files}
        for state in map(dict, self.seen):
            assert all(size == final[name] for name, size in state.items() if name in final)
            if last in state:
                assert set(files) <= set(state)


@pytest.mark.sshd
@pytest.mark.spec("X11")
@pytest.mark.spec("X12")
@pytest.mark.spec("X13")
@pytest.mark.spec("X14")
@pytest.mark.spec("R9")
@pytest.mark.parametrize("point", [point for point in POINTS if point not in ("export.waiting",)])
@pytest.mark.parametrize("kind", ["folder", "sftp"])
def test_a_worker_killed_at_any_point(scene: Scene, sshd: Sshd, point: str, kind: str) -> None:
    """Wherever it dies, the next worker ends the run with one whole set; a second snapshot only if it must."""
    destination = scene.folder_destination() if kind == "folder" else scene.sftp_destination(sshd)
    folder = scene.out if kind == "folder" else sshd.files
    folder.mkdir(parents=True, exist_ok=True)
    export = set_of_three(scene, destination)
    run = scene.start(export)
    with Watcher(folder) as watcher:
        crash(run, point)
        before = scene.fresh(run)
        digests = _digests(before)
        assert before.state not in ("delivered", "failed")
        work_on(run.pk)
        assert scene.fresh(run).state == before.state, "its lease is not over yet"
        scene.free(run)
        calendar.tick()
        work_on(run.pk)
    after = scene.fresh(run)

    assert (after.state, after.error) == ("delivered", "")
    assert names(folder) == expected_names()
    manifest = check_set(folder, after)
    rows = [row for file in manifest["files"] for row in read_csv(folder / file["name"])[1:]]
    with acting_for(scene.advertiser.pk):
        segment = export.segments.get()
    assert sorted(row[0] for row in rows) == sorted(members_by_sql(segment, after.as_of))
    watcher.check(expected_names(), last=f"{PARTS[0]}.done")
    if point not in ("export.claimed", "export.copying"):
        assert after.as_of == before.as_of, "no second snapshot"
        assert digests.items() <= _digests(after).items()
    work_on(run.pk)  # a task that comes twice
    assert scene.fresh(run).claim == after.claim


@pytest.mark.spec("X12")
@pytest.mark.sshd
def test_a_worker_killed_while_it_waits_and_another_makes_the_next_try(scene: Scene, sshd: Sshd) -> None:
    run = scene.start(scene.export(scene.sftp_destination(sshd), scene.segment(members=3)))
    sshd.stop()
    crash(run, "export.waiting")
    waiting = scene.fresh(run)
    assert (waiting.state, waiting.reason, waiting.tries) == ("waiting", "no_route", 1)
    assert 23 <= (waiting.next_try_at - waiting.progress_at).total_seconds() <= 37
    sshd.start()
    work_on(run.pk)
    assert scene.fresh(run).state == "waiting", "not before its time"
    delivered = scene.try_now(run)
    assert (delivered.state, delivered.tries, delivered.as_of) == ("delivered", 2, waiting.as_of)


@pytest.mark.spec("X9")
def test_two_workers_claim_one_run_a_hundred_times(scene: Scene) -> None:
    """Ten runs, ten workers each, all at the same instant."""
    segment, destination = scene.segment(members=2), scene.folder_destination()
    runs = [scene.start(scene.export(destination, segment, file_name=f"{{date}}_{n}.csv")) for n in range(10)]
    gate = threading.Barrier(10)

    def work(run_id: int) -> None:
        gate.wait()
        try:
            work_on(run_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        for run in runs:
            list(pool.map(work, [run.pk] * 10))
    for run in map(scene.fresh, runs):
        assert (run.state, run.claim) == ("delivered", 1)
    with acting_for(scene.advertiser.pk):
        assert RunTry.objects.count() == 10
    assert len(names(scene.out)) == 20


@pytest.mark.spec("X10")
@pytest.mark.sshd
def test_a_worker_that_sleeps_beyond_its_lease_renames_nothing(
    scene: Scene, sshd: Sshd, settings: Settings, tmp_path: Path
) -> None:
    settings.EXPORT_LEASE_SECONDS = 2
    run = scene.start(scene.export(scene.sftp_destination(sshd), scene.segment(members=3)))
    _make_large(scene, run, 24_000_000)
    with Worker(run, STOP_AT="export.part") as sleeper:
        until(lambda: _sleeps(sleeper.process.pid), "the worker sleeps in mid-file")
        claim = scene.fresh(run).claim
        until(lambda: Run.all_advertisers.filter(is_free(), pk=run.pk).exists(), "its lease is over")
        work_on(run.pk)
        delivered = scene.fresh(run)
        assert (delivered.state, delivered.claim) == ("delivered", claim + 1)
        before = {path.name: sha256(path) for path in sshd.files.iterdir()}
        sleeper.process.send_signal(signal.SIGCONT)
        assert sleeper.wait() == 0
    assert {path.name: sha256(path) for path in sshd.files.iterdir()} == before
    check_set(sshd.files, delivered)
    assert scene.fresh(run).ended_at == delivered.ended_at


class TestBrokenUploads:
    @pytest.mark.sshd
    @pytest.mark.spec("X2")
    @pytest.mark.parametrize("damage", [False, True])
    def test_a_server_killed_in_mid_file(self, scene: Scene, sshd: Sshd, damage: bool, monkeypatch) -> None:
        run = scene.start(scene.export(scene.sftp_destination(sshd), scene.segment(members=3)))
        _make_large(scene, run, 60_000_000)
        sent = _kill_after(monkeypatch, sshd, 24_000_000)
        work_on(run.pk)
        waiting = scene.fresh(run)
        assert (waiting.state, waiting.reason) == ("waiting", "connection_lost")
        assert names(sshd.files) == [f"{NAME}.part"]
        part = sshd.files / f"{NAME}.part"
        if damage:
            with part.open("r+b") as file:
                file.seek(sent[0] - 100)
                file.write(b"#" * 100)
        monkeypatch.undo()
        sshd.start()
        offsets = _watch_offsets(monkeypatch)

        delivered = scene.try_now(run)

        assert delivered.state == "delivered"
        assert offsets[0] == (0 if damage else sent[0])
        assert offsets[0] % (8 * 1024 * 1024) == 0
        with acting_for(scene.advertiser.pk):
            file = RunFile.objects.get(run=run, kind="part")
            tries = list(RunTry.objects.filter(run=run).values_list("number", "reason"))
        assert tries == [(1, "connection_lost"), (2, "")]
        assert sha256(sshd.files / NAME) == file.sha256 == sha256(scene.run_folder / file.local_path)

    @pytest.mark.sshd
    @pytest.mark.spec("X2")
    def test_a_connection_that_stalls(self, scene: Scene, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sftp, "STALLED_SECONDS", 1)
        run = scene.start(scene.export(scene.sftp_destination(sshd), scene.segment(members=3)))
        _make_large(scene, run, 40_000_000)
        stopped = _stop_after(monkeypatch, sshd, 8_000_000)
        try:
            work_on(run.pk)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        waiting = scene.fresh(run)
        assert (waiting.state, waiting.reason) == ("waiting", "stalled")
        assert "took no more after" in waiting.error
        monkeypatch.undo()
        assert scene.try_now(run).state == "delivered"

    @pytest.mark.sshd
    def test_six_tries_and_then_the_run_has_failed(self, scene: Scene, sshd: Sshd) -> None:
        run = scene.start(scene.export(scene.sftp_destination(sshd), scene.segment(members=1)))
        sshd.stop()
        work_on(run.pk)
        waits = []
        for _ in range(5):
            waiting = scene.fresh(run)
            assert waiting.state == "waiting"
            waits.append((waiting.next_try_at - waiting.progress_at).total_seconds())
            scene.try_now(run)
        failed = scene.fresh(run)
        assert (failed.state, failed.reason, failed.tries) == ("failed", "no_route", 6)
        for wait, planned in zip(waits, (30, 120, 600, 1800, 7200), strict=True):
            assert planned * 0.8 - 1 <= wait <= planned * 1.2 + 1
        assert failed.destination.state == "ready"

    @pytest.mark.sshd
    @pytest.mark.spec("R9")
    @pytest.mark.parametrize(("is_read_back", "ending"), [(False, b""), (True, b"#")], ids=["short", "read back"])
    def test_a_file_that_did_not_arrive_whole_gets_no_name(
        self, scene: Scene, sshd: Sshd, monkeypatch, is_read_back: bool, ending: bytes
    ) -> None:
        destination = scene.sftp_destination(sshd, is_read_back=is_read_back)
        run = scene.start(scene.export(destination, scene.segment(members=1)))
        upload = sftp.SftpConnection.upload

        def spoil(self, local, name, *, offset=0):
            yield from upload(self, local, name, offset=offset)
            path = sshd.files / name
            path.write_bytes(path.read_bytes()[:-1] + ending)

        monkeypatch.setattr(sftp.SftpConnection, "upload", spoil)
        work_on(run.pk)
        assert scene.fresh(run).reason == "short_file"
        assert names(sshd.files) == [f"{NAME}.part"]
        monkeypatch.undo()
        assert scene.try_now(run).state == "delivered"
        check_set(sshd.files, scene.fresh(run))


class TestRefusals:
    @pytest.mark.sshd
    @pytest.mark.spec("X4")
    def test_a_rename_that_is_refused_leaves_nothing(self, scene: Scene, tmp_path: Path, allow_port) -> None:
        with Sshd(tmp_path / "sshd", options="-P rename,posix-rename") as server:
            allow_port(server.port)
            run = scene.run(scene.export(scene.sftp_destination(server), scene.segment(members=1)))
            assert (run.state, run.reason) == ("failed", "rename_refused")
            assert names(server.files) == []

    @pytest.mark.sshd
    @pytest.mark.spec("X4")
    def test_what_cannot_be_removed_is_named(self, scene: Scene, tmp_path: Path, allow_port) -> None:
        with Sshd(tmp_path / "sshd", options="-P rename,posix-rename,remove") as server:
            allow_port(server.port)
            run = scene.run(scene.export(scene.sftp_destination(server), scene.segment(members=1)))
            assert run.facts["left"] == f"{NAME}.part"
            assert names(server.files) == [f"{NAME}.part"]

    @pytest.mark.sshd
    @pytest.mark.spec("X4")
    @pytest.mark.parametrize("options", ["", "-P posix-rename"])
    def test_a_retry_replaces_the_own_file_and_no_strangers(
        self, scene: Scene, tmp_path: Path, allow_port, options: str
    ) -> None:
        with Sshd(tmp_path / "sshd", options=options) as server:
            allow_port(server.port)
            segment = scene.segment(members=1)
            first = scene.run(scene.export(scene.sftp_destination(server), segment))
            (server.files / "stranger.csv").write_text("mine")
            scene.member(segment, email="late@example.com")
            again = scene.again(first)
            assert (again.state, again.retry_of_id) == ("delivered", first.pk)
            assert names(server.files) == [NAME, f"{NAME}.manifest.json", "stranger.csv"]
            assert len(read_csv(server.files / NAME)) == 3
            assert check_set(server.files, again)["run"] == again.pk
            assert (server.files / "stranger.csv").read_text() == "mine"

    @pytest.mark.sshd
    @pytest.mark.parametrize(("options", "reason"), [("-R", "not_allowed"), ("-P write", "not_allowed")])
    def test_a_server_that_takes_nothing(self, scene: Scene, tmp_path: Path, allow_port, options: str, reason: str):
        with Sshd(tmp_path / "sshd", options=options) as server:
            allow_port(server.port)
            run = scene.run(scene.export(scene.sftp_destination(server), scene.segment(members=1)))
            assert (run.state, run.reason, run.tries) == ("failed", reason, 1)


class TestFullDisks:
    @pytest.mark.spec("X3")
    def test_our_own_disk_is_full(self, scene: Scene) -> None:
        """A limit on the size of files stands in for a full disk: the same short write, the same end."""
        segment = scene.segment(members=1)
        columns = [EMAIL, *({"source": "constant", "constant": "x" * 255} for _ in range(40))]
        destination = scene.folder_destination()
        run = scene.start(scene.export(destination, segment, columns=columns))
        with Worker(run, TEST_FILE_LIMIT="1000") as worker:
            assert worker.wait() == 0
        failed = scene.fresh(run)
        assert (failed.state, failed.reason) == ("failed", "local_disk_full")
        assert not [path for path in scene.run_folder.rglob("*") if path.is_file()]
        assert scene.again(failed).state == "delivered"

    @pytest.mark.spec("X3")
    @pytest.mark.sshd
    def test_the_receivers_disk_is_full_and_then_there_is_room(self, scene: Scene, sshd: Sshd) -> None:
        with small_disk(sshd.files / "small", "1m"):
            (sshd.files / "small" / "other").write_bytes(b"x" * 400_000)
            run = scene.start(scene.export(scene.sftp_destination(sshd, path="small"), scene.segment(members=1)))
            _make_large(scene, run, 900_000)
            work_on(run.pk)
            waiting = scene.fresh(run)
            assert (waiting.state, waiting.reason) == ("waiting", "disk_full")
            assert "no space left (1 MB missing)" in waiting.error
            assert (waiting.next_try_at - waiting.progress_at).total_seconds() >= 479
            (sshd.files / "small" / "other").unlink()
            assert scene.try_now(run).state == "delivered"
            check_set(sshd.files / "small", scene.fresh(run))


@pytest.mark.spec("E8")
@pytest.mark.sshd
def test_a_destination_takes_no_more_connections_than_it_may(scene: Scene, sshd: Sshd) -> None:
    """Two runs hold both places; the third stays written, and is told when one has ended."""
    segment, destination = scene.segment(members=1), scene.sftp_destination(sshd)
    runs = [scene.start(scene.export(destination, segment, file_name=f"{{date}}_{n}.csv")) for n in range(3)]
    for busy in runs[:2]:
        crash(busy, "export.part")
    work_on(runs[2].pk)
    assert scene.fresh(runs[2]).state == "written"
    elsewhere = scene.run(scene.export(scene.folder_destination(), segment))
    assert elsewhere.state == "delivered"
    for busy in runs[:2]:
        scene.free(busy)
        work_on(busy.pk)
    work_on(runs[2].pk)
    assert [scene.fresh(run).state for run in runs] == ["delivered"] * 3


def test_a_run_that_kills_its_workers_ends_at_last(scene: Scene) -> None:
    run = scene.start(scene.export(scene.folder_destination(), scene.segment(members=1)))
    Run.all_advertisers.filter(pk=run.pk).update(times_lost=10, state="writing", lease_ends_at="2020-01-01T00:00Z")
    work_on(run.pk)
    assert scene.fresh(run).reason == "worker_lost"


def _digests(run: Run) -> dict[str, str]:
    with acting_for(run.advertiser_id):
        return {file.local_path: file.sha256 for file in run.files.filter(claim=run.files_claim)}


def _make_large(scene: Scene, run: Run, size: int) -> None:
    """Write the run's files here, and put a large file in the place of its part, as if so many were in."""
    scene.set(run.destination, state="paused")
    work_on(run.pk)
    content = random.Random(size).randbytes(size)
    with acting_for(scene.advertiser.pk):
        file = RunFile.objects.get(run=run)
        path = scene.run_folder / file.local_path
        path.write_bytes(content)
        RunFile.objects.filter(pk=file.pk).update(bytes=size, sha256=sha256(path))
    Run.all_advertisers.filter(pk=run.pk).update(bytes_packed=size)
    scene.set(run.destination, state="ready")
    assert scene.fresh(run).state == "written"


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own that fills up."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("This test mounts a small tmpfs, which only root may do.")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _kill_after(monkeypatch: pytest.MonkeyPatch, server: Sshd, size: int) -> list[int]:
    """Kill the server once so many bytes are acknowledged; the list gets the last recorded offset."""
    upload, sent = sftp.SftpConnection.upload, [0]

    def cut(self, local, name, *, offset=0):
        for acknowledged in upload(self, local, name, offset=offset):
            sent[0] = acknowledged
            yield acknowledged
            if acknowledged >= size and server.process is not None:
                server.stop()

    monkeypatch.setattr(sftp.SftpConnection, "upload", cut)
    return sent


def _stop_after(monkeypatch: pytest.MonkeyPatch, server: Sshd, size: int) -> list[int]:
    """Let the server's session sleep once so many bytes are acknowledged: connected, and silent."""
    upload, stopped = sftp.SftpConnection.upload, []

    def stall(self, local, name, *, offset=0):
        for acknowledged in upload(self, local, name, offset=offset):
            yield acknowledged
            if acknowledged >= size and not stopped:
                stopped.extend(descendants(server.process.pid))
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)

    monkeypatch.setattr(sftp.SftpConnection, "upload", stall)
    return stopped


def _watch_offsets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    upload, offsets = sftp.SftpConnection.upload, []

    def watched(self, local, name, *, offset=0):
        offsets.append(offset)
        return upload(self, local, name, offset=offset)

    monkeypatch.setattr(sftp.SftpConnection, "upload", watched)
    return offsets
