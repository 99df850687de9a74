"""`manage.py up`: one group that starts, heals and ends together."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import psycopg
import pytest

from config.ports import PortTakenError, await_free
from tests.running import ROOT, LiveMuster, alive, descendants, free_ports, own_folder, parent_of, until


@pytest.fixture(scope="module")
def muster() -> Iterator[LiveMuster]:
    """A Muster of this module's own: its tests kill it, in the order in which they stand."""
    muster = LiveMuster(own_folder("up"))
    try:
        yield muster.start()
    finally:
        muster.close()


def programs(muster: LiveMuster) -> dict[str, int]:
    """Return the programs that `up` has started itself, by a word of their command lines."""
    words = {
        "web": "config.wsgi",
        "door": "config.door",
        "worker": "--queues=celery",
        "exporter": "--queues=exports",
        "beat": "StandbyScheduler",
        "postgres": "postgres/data",
    }
    children = children_of(muster.process.pid)
    return {name: pid for name, word in words.items() for pid, line in children.items() if word in line}


def children_of(pid: int) -> dict[int, str]:
    return {
        one: line
        for one, line in descendants(pid).items()
        if alive(one) and parent_of(one) == pid and "config/leash.py" not in line  # about to become the program
    }


def status(url: str) -> int:
    try:
        return urllib.request.urlopen(url, timeout=5).status
    except OSError as error:
        return getattr(error, "code", 0)


def operators(muster: LiveMuster) -> list:
    with muster.connect() as connection:
        return connection.execute("SELECT username FROM auth_user WHERE is_superuser").fetchall()


def test_the_first_start_prints_addresses_and_the_operators_password_once(muster):
    assert muster.admin_url in muster.output
    assert muster.pixel_url in muster.output
    assert len(re.findall(r"with the password (\S{20})", muster.output)) == 1
    assert operators(muster) == [("operator",)]
    for log in (muster.folder / "logs").iterdir():
        assert muster.operator_password not in log.read_text()


def test_it_is_ready(muster):
    assert status(f"{muster.admin_url}/health/ready") == 200
    assert status(f"{muster.admin_url}/admin/login/") == 200
    assert {"web", "door", "worker", "exporter", "beat"} <= set(programs(muster))


def test_static_files_have_names_for_ever(muster):
    page = urllib.request.urlopen(f"{muster.admin_url}/admin/login/").read().decode()
    style = re.search(r'href="(/static/[^"]+\.[0-9a-f]{12}\.css)"', page)[1]
    answer = urllib.request.urlopen(muster.admin_url + style)
    assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["web", "door", "worker", "beat"])
def test_a_program_that_dies_starts_again_and_leaves_no_child(muster, name):
    until(lambda: name in programs(muster), f"{name} runs")
    before = programs(muster)[name]
    family = [before, *descendants(before)]
    os.kill(before, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in family), f"the old {name} and its children are gone")
    after = until(lambda: programs(muster).get(name), f"{name} starts again")
    assert after != before
    until(lambda: status(f"{muster.admin_url}/health/live") == 200, "web answers")


def test_a_postgresql_that_dies_starts_again(muster):
    if "postgres" not in programs(muster):
        pytest.skip("DATABASE_URL is set: this Muster does not run its own PostgreSQL")
    os.kill(programs(muster)["postgres"], signal.SIGKILL)
    until(lambda: status(f"{muster.admin_url}/health/ready") == 200, "ready again")
    assert operators(muster) == [("operator",)]
    before = sent(muster)
    until(lambda: sent(muster) > before, "beat sends again")
    until(lambda: waiting(muster) == 0, "the worker takes again")


def test_a_postgresql_that_cannot_start_is_tried_again(muster):
    if "postgres" not in programs(muster):
        pytest.skip("DATABASE_URL is set: this Muster does not run its own PostgreSQL")
    version = muster.folder / "postgres" / "data" / "PG_VERSION"
    real = version.read_text()
    version.write_text("14\n")
    os.kill(programs(muster)["postgres"], signal.SIGKILL)
    until(lambda: muster.output.count("was made by PostgreSQL 14") >= 2, "it says what is wrong")
    version.write_text(real)
    until(lambda: status(f"{muster.admin_url}/health/ready") == 200, "ready again")


def test_a_server_that_does_not_answer_is_named_in_a_sentence(tmp_path):
    (port,) = free_ports(1)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "MUSTER_DATA_DIR": str(tmp_path)}
    environment |= {"DATABASE_URL": f"postgres://me:hidden@127.0.0.1:{port}/muster"}
    binds = [f"127.0.0.1:{port}" for port in free_ports(2)]
    environment |= dict(zip(("MUSTER_ADMIN_BIND", "MUSTER_PIXEL_BIND"), binds, strict=True))
    command = [sys.executable, "manage.py", "up"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "PostgreSQL does not answer, look at DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr


def sent(muster: LiveMuster) -> int:
    """Return the number of the last task that beat has sent."""
    with muster.connect() as connection:
        return connection.execute("SELECT last_value FROM pgmq.q_celery_msg_id_seq").fetchone()[0]


def waiting(muster: LiveMuster) -> int:
    with muster.connect() as connection:
        return connection.execute("SELECT count(*) FROM pgmq.q_celery").fetchone()[0]


def test_a_second_one_says_whom_to_blame(muster):
    second = LiveMuster(
        own_folder("second"), environment={"MUSTER_ADMIN_BIND": muster.environment["MUSTER_ADMIN_BIND"]}
    )
    try:
        assert second.launch().wait(60) == 1
        port = muster.environment["MUSTER_ADMIN_BIND"].rpartition(":")[2]
        assert f"Port {port} on 127.0.0.1 is taken by process" in second.output
        assert "config.wsgi" in second.output
        assert "MUSTER_ADMIN_BIND=" in second.output
        assert "Traceback" not in second.output
    finally:
        second.close()


def test_a_kill_leaves_no_process_and_the_next_start_finds_everything(muster):
    password = muster.operator_password
    family = {muster.process.pid, *descendants(muster.process.pid)}
    assert len(family) > 8
    muster.process.kill()
    muster.process.wait()
    until(lambda: not any(alive(pid) for pid in family), "every process is gone", timeout_seconds=20)
    muster.start()
    assert "password" not in muster.output
    assert operators(muster) == [("operator",)]
    assert muster.operator_password == password


def test_sigterm_ends_all_of_it_in_order(muster):
    family = {muster.process.pid, *descendants(muster.process.pid)}
    assert muster.stop(signal.SIGTERM) == 0
    assert not any(alive(pid) for pid in family)
    assert "ends: beat, workers and door first" in muster.output
    if not muster.environment.get("DATABASE_URL"):
        assert not (muster.folder / "postgres" / "data" / "postmaster.pid").exists()
        with pytest.raises(psycopg.OperationalError):
            muster.connect()


def test_ctrl_c_while_it_starts_ends_it_too(muster):
    process = muster.launch()
    until(lambda: descendants(process.pid), "it has begun")
    family = {process.pid, *descendants(process.pid)}
    assert muster.stop(signal.SIGINT) in (0, 1, -signal.SIGINT)  # the last before it has begun to listen
    assert not any(alive(pid) for pid in family)


def test_a_port_that_comes_free_in_time_is_waited_for():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        bind = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(PortTakenError, match="is taken by process"):
            await_free(bind, setting="MUSTER_ADMIN_BIND", timeout_seconds=0)
    await_free(bind, setting="MUSTER_ADMIN_BIND", timeout_seconds=0)
