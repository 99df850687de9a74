"""The embedded server: as root and as a plain user, after a kill, and in folders that do not suit it."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from config import postgres
from config.postgres import EmbeddedServer, PostgresError
from tests.running import ROOT, alive, descendants, until

NOBODY = pwd.getpwnam("nobody")
SMALL = {"shared_buffers": "16MB"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has somebody to drop to")

RUN_A_SERVER = """
import sys, time
from pathlib import Path
from config.postgres import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), options={"shared_buffers": "16MB"}).start()
print(server.process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder with a short path, which the server's user may walk to."""
    made = Path(tempfile.mkdtemp(prefix="muster-pg-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def server(folder: Path, **more) -> EmbeddedServer:
    return EmbeddedServer(folder, options=SMALL, **more)


def start_in_a_process(folder: Path) -> tuple[subprocess.Popen, int]:
    """Start a server in a process of its own; return that process and the server's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_A_SERVER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    return process, int(process.stdout.readline())


def write_a_row(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('acknowledged')")


def rows(url: str) -> list:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT word FROM kept").fetchall()


def test_what_was_written_is_there_after_a_stop_and_a_start(folder):
    with server(folder) as first:
        write_a_row(first.url)
    with server(folder) as second:
        assert rows(second.url) == [("acknowledged",)]


def test_it_listens_on_no_network_and_wants_a_password(folder):
    with server(folder) as running:
        to = postgres.connection(folder)
        with psycopg.connect(make_conninfo("", **to)) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            assert connection.execute("SHOW password_encryption").fetchone() == ("scram-sha-256",)
        listening = Path(f"/proc/{running.process.pid}/net/tcp").read_text()
        assert f":{postgres.PORT:04X} 00000000:0000 0A" not in listening
        for password in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(make_conninfo("", **{**to, "password": password}))
    for key in (folder / "keys").iterdir():
        assert key.stat().st_mode & 0o077 == 0
    assert (folder / "postgres" / "data").stat().st_mode & 0o077 == 0
    assert (folder / "postgres" / "sockets").stat().st_mode & 0o077 == 0


def test_our_role_is_no_superuser_and_what_is_acknowledged_is_flushed(folder):
    with server(folder) as running, psycopg.connect(running.url) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.execute("SELECT upper('é')").fetchone() == ("É",)


@as_root
def test_root_starts_it_as_an_unprivileged_user(folder):
    with server(folder) as running:
        status = Path(f"/proc/{running.process.pid}/status").read_text().splitlines()
        uids = next(line for line in status if line.startswith("Uid:")).split()[1:]
        groups = next(line for line in status if line.startswith("Groups:")).split()[1:]
    assert uids == [str(NOBODY.pw_uid)] * 4
    assert groups == []


@as_root
def test_a_plain_user_starts_it(folder):
    interpreter = next((one for one in (sys.executable, "/usr/bin/python3") if nobody_may_run(one)), None)
    if interpreter is None:
        pytest.skip("there is no Python that an unprivileged user may run with this project")
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    script = """
import os, sys
from pathlib import Path
from config.postgres import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1]), options={"shared_buffers": "16MB"}) as server:
    print(os.geteuid(), Path(f"/proc/{server.process.pid}").stat().st_uid)
"""
    done = subprocess.run(
        [interpreter, "-c", script, str(folder)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}", "PATH": os.environ["PATH"]},
        **as_nobody(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(NOBODY.pw_uid)] * 2
    # Root may take over what a plain user has begun: the server stays that user's.
    with server(folder) as running:
        assert Path(f"/proc/{running.process.pid}").stat().st_uid == NOBODY.pw_uid


def as_nobody() -> dict:
    return {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}


def nobody_may_run(interpreter: str) -> bool:
    probe = "import sys; sys.path[:0] = sys.argv[1:]; import psycopg, config.postgres; sys.exit()"
    try:
        command = [interpreter, "-c", probe, str(ROOT), sysconfig.get_path("purelib")]
        return subprocess.run(command, cwd="/", capture_output=True, **as_nobody()).returncode == 0
    except PermissionError:
        return False


def test_a_killed_parent_leaves_no_process_and_loses_no_row(folder):
    parent, server_pid = start_in_a_process(folder)
    write_a_row(postgres.url(folder))
    family = {server_pid, *descendants(server_pid)}
    assert len(family) > 3
    parent.kill()
    parent.wait()
    until(lambda: not any(alive(pid) for pid in family), "all processes of the server are gone")
    with server(folder) as again:
        assert rows(again.url) == [("acknowledged",)]


def test_a_killed_server_starts_again_with_what_was_acknowledged(folder):
    running = server(folder).start()
    write_a_row(running.url)
    os.kill(running.process.pid, signal.SIGKILL)
    assert (folder / "postgres" / "data" / "postmaster.pid").exists()
    with server(folder) as again:
        assert rows(again.url) == [("acknowledged",)]


def test_a_stale_pid_file_with_the_number_of_a_living_process_is_no_obstacle(folder):
    """After a restart of a container the numbers come again, and belong to others."""
    with server(folder) as first:
        write_a_row(first.url)
    sleeper = subprocess.Popen(["sleep", "600"], **(as_nobody() if os.geteuid() == 0 else {}))
    try:
        data = folder / "postgres" / "data"
        (data / "postmaster.pid").write_text(f"{sleeper.pid}\n{data}\n0\n5432\n\n\n0 0\nready\n")
        (folder / "postgres" / "sockets" / f".s.PGSQL.{postgres.PORT}.lock").write_text(f"{sleeper.pid}\n")
        with server(folder) as again:
            assert rows(again.url) == [("acknowledged",)]
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_second_start_says_that_one_is_running(folder):
    with server(folder) as running:
        with pytest.raises(PostgresError, match=f"already runs .*{running.process.pid}"):
            server(folder).start()
        assert running.process.poll() is None


def test_a_start_waits_for_a_server_that_is_going_down(folder):
    first, server_pid = start_in_a_process(folder)
    with psycopg.connect(postgres.url(folder)):
        os.kill(server_pid, signal.SIGTERM)  # PostgreSQL's patient shutdown: it waits for the session
        ending = subprocess.Popen([sys.executable, "-c", RUN_A_SERVER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
        time.sleep(0.2)
        assert alive(server_pid)
    try:
        assert int(ending.stdout.readline()) != server_pid
    finally:
        for process in (ending, first):
            process.kill()
            process.wait()


def test_a_first_start_that_was_killed_is_begun_anew(folder):
    half = folder / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    for made in (folder / "postgres",):
        made.chmod(0o755)
    with server(folder) as running, psycopg.connect(running.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not half.exists()


def test_a_long_path_gets_a_short_private_socket_folder(folder):
    deep = folder / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    where = postgres.place(deep)
    assert where.sockets.parent == Path("/tmp")
    try:
        with server(deep) as running, psycopg.connect(running.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert where.sockets.stat().st_mode & 0o077 == 0
    finally:
        shutil.rmtree(where.sockets, ignore_errors=True)


def test_a_socket_folder_of_somebody_else_is_refused(folder):
    deep = folder / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    where = postgres.place(deep)
    where.sockets.mkdir()
    where.sockets.chmod(0o777)
    try:
        with pytest.raises(PostgresError, match="not a private folder"):
            server(deep).start()
    finally:
        where.sockets.rmdir()


@as_root
def test_a_folder_that_the_servers_user_cannot_walk_to_stays_closed(folder, monkeypatch):
    """A project under /root: the server lives elsewhere, with a copy of its programs, and nothing is opened."""
    monkeypatch.setattr(postgres, "SYSTEM_FOLDER", folder / "system")
    closed = folder / "root"
    closed.mkdir(mode=0o700)
    package = postgres.wheel_programs().parents[1]
    for part in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(part, closed / part.name, symlinks=True)
    programs = closed / package.name / "pginstall18" / "bin"
    data_dir = closed / "project" / ".muster"
    with server(data_dir, programs=programs) as running:
        write_a_row(running.url)
        assert rows(running.url) == [("acknowledged",)]
        program = Path(f"/proc/{running.process.pid}/exe").readlink()
    assert program.is_relative_to(folder / "system")
    assert postgres.place(data_dir).home.is_relative_to(folder / "system")
    assert closed.stat().st_mode & 0o777 == 0o700
    with server(data_dir, programs=programs) as again:
        assert rows(again.url) == [("acknowledged",)]


def test_the_data_of_another_version_is_refused_with_what_to_do(folder):
    with server(folder):
        pass
    (folder / "postgres" / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(PostgresError, match=r"made by PostgreSQL 14.*MUSTER_POSTGRES_BIN"):
        server(folder).start()


def test_a_server_that_cannot_start_says_why(folder):
    with pytest.raises(PostgresError, match="no_such_setting"):
        EmbeddedServer(folder, options={"no_such_setting": "1"}).start()


def test_programs_of_the_system_can_be_named(folder):
    programs = Path("/usr/lib/postgresql/15/bin")
    if not programs.exists():
        pytest.skip("this system has no PostgreSQL 15")
    with server(folder, programs=programs) as running, psycopg.connect(running.url) as connection:
        assert connection.info.server_version // 10000 == 15


def test_the_log_names_no_person(folder):
    with server(folder) as running, psycopg.connect(running.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (mail text PRIMARY KEY)")
        for _ in range(2):
            with contextlib.suppress(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO people VALUES (%s)", ["canary@example.com"])
    log = postgres.place(folder).log.read_text()
    assert "duplicate key" in log
    assert "canary" not in log


def test_sockets_of_this_size_work_on_this_system(folder):
    """The limit that `place` assumes is the kernel's."""
    path = str(folder / ("s" * (postgres.SOCKET_PATH_LIMIT - len(str(folder)) - 1)))
    assert len(path) == postgres.SOCKET_PATH_LIMIT
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path)
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(OSError, match="too long"):
        one.bind(path + "s")
