"""Tasks survive what kills workers and brokers: real workers, real kills, both brokers."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from kombu import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config import broker, postgres
from config.environment import BROKER_SESSIONS, broker_options, conninfo
from config.leash import SUPERVISED, leashed
from config.postgres import EmbeddedServer
from tests.running import ROOT, alive, descendants, free_ports, own_database, own_folder, until


@dataclass
class Site:
    """A database and a broker, and the Celery processes of a test on them."""

    folder: Path
    environment: dict[str, str]
    database: str  # libpq's address
    processes: list[subprocess.Popen] = field(default_factory=list)

    def celery(self, *words: str) -> subprocess.Popen:
        """Start a Celery program on a leash."""
        log = (self.folder / f"celery-{len(self.processes)}.log").open("wb")
        command = [sys.executable, "-m", "celery", "--quiet", "--app=tests.config.worker_app", *words]
        process = subprocess.Popen(
            leashed(command), cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
        )
        self.processes.append(process)
        return process

    def worker(self) -> subprocess.Popen:
        """Start a worker and return when it takes tasks."""
        log = self.folder / f"celery-{len(self.processes)}.log"
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        process = self.celery("worker", "--queues=celery", "--concurrency=1", *quiet)

        def is_ready() -> bool:
            text = log.read_text(errors="replace")
            assert process.poll() is None, f"the worker ended:\n{text}"
            return " ready." in text

        until(is_ready, "the worker is ready")
        return process

    def send(self, task: str, word: str) -> None:
        """Send a task, from a process such as the web's."""
        call = f"from tests.config.worker_app import app; app.send_task({task!r}, [{word!r}])"
        subprocess.run([sys.executable, "-c", call], cwd=ROOT, env=self.environment, check=True)

    def noted(self, word: str, what: str) -> int:
        return self.query("SELECT count(*) FROM noted WHERE word = %s AND what = %s", word, what)[0][0]

    def query(self, statement: str, *parameters: Any) -> list:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()

    def logs(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in sorted(self.folder.glob("celery-*.log")))


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Path, str]]:
    """A PostgreSQL for the brokers of this module: its data folder and URL."""
    folder = own_folder("broker")
    if url := os.environ.get("DATABASE_URL"):
        yield folder, url
        return
    programs = Path(settings.MUSTER_POSTGRES_BIN) if settings.MUSTER_POSTGRES_BIN else None
    with EmbeddedServer(folder, options={"shared_buffers": "32MB"}, durable=False, programs=programs) as running:
        yield folder, running.url


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    (port,) = free_ports(1)
    folder = own_folder("redis")
    process = subprocess.Popen(
        leashed([program, "--port", str(port), "--dir", str(folder), "--save", "", "--bind", "127.0.0.1"]),
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    until(lambda: _answers(url), "redis answers")
    yield url
    process.kill()
    process.wait()


def _answers(url: str) -> bool:
    try:
        with Connection(url) as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
    except Exception:
        return False
    return True


def flush(url: str) -> None:
    with Connection(url) as connection:
        connection.default_channel.client.flushall()


@pytest.fixture(params=["pgmq", pytest.param("redis", marks=pytest.mark.redis)])
def site(request, server) -> Iterator[Site]:
    """Both brokers in turn, each test with a database of its own."""
    folder, url = server
    broker_url = "pgmq://muster" if request.param == "pgmq" else request.getfixturevalue("redis_url")
    with own_database(url) as own_url:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": own_url,
            "CELERY_BROKER_URL": broker_url,
            "MUSTER_DATA_DIR": str(folder),
            SUPERVISED: "1",
            "CELERY_SKIP_CHECKS": "1",
        }
        site = Site(own_folder("site"), environment, own_url)
        if request.param == "pgmq":
            broker.prepare(own_url)
        else:
            flush(broker_url)
        site.query("CREATE TABLE noted (word text, what text)")
        yield site
        site.end()
        print(site.logs())  # pytest shows it where the test fails


def test_a_worker_does_what_was_sent(site):
    site.worker()
    site.send("tests.write", "hello")
    until(lambda: site.noted("hello", "done") == 1, "the task is done")


@pytest.mark.spec("R8")
def test_the_task_of_a_killed_worker_is_done_by_the_next(site):
    first = site.worker()
    site.send("tests.wait", "precious")
    until(lambda: site.noted("precious", "begun") == 1, "the task has begun")
    family = [first.pid, *descendants(first.pid)]
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    until(lambda: not any(alive(pid) for pid in family), "the worker and its children are gone")
    site.query("INSERT INTO noted VALUES ('precious', 'go')")
    site.worker()
    until(lambda: site.noted("precious", "done") >= 1, "the task is done after all")


def test_the_task_of_a_killed_child_is_done_by_another(site):
    worker = site.worker()
    site.send("tests.wait", "precious")
    until(lambda: site.noted("precious", "begun") == 1, "the task has begun")
    for child in descendants(worker.pid):
        os.kill(child, signal.SIGKILL)
    site.query("INSERT INTO noted VALUES ('precious', 'go')")
    until(lambda: site.noted("precious", "done") >= 1, "the task is done after all")
    assert worker.poll() is None


def test_many_tasks_over_a_killed_worker_are_all_done(site):
    words = [f"word-{number}" for number in range(40)]
    site.worker()
    call = (
        f"from tests.config.worker_app import app\nfor word in {words!r}: app.send_task('tests.write', [word])\n"
        "app.send_task('tests.wait', ['middle'])\n"
        f"for word in {words!r}: app.send_task('tests.write', ['again-' + word])"
    )
    subprocess.run([sys.executable, "-c", call], cwd=ROOT, env=site.environment, check=True)
    if site.environment["CELERY_BROKER_URL"].startswith("redis"):
        # In the midst of a task: kombu takes messages by BRPOP, and loses the one that is being sent at the moment.
        until(lambda: site.noted("middle", "begun") == 1, "many are done, and many wait")
    else:
        until(lambda: site.query("SELECT count(*) FROM noted")[0][0] > 3, "some are done")
    os.kill(site.processes[0].pid, signal.SIGKILL)
    site.processes[0].wait()
    site.query("INSERT INTO noted VALUES ('middle', 'go')")
    site.worker()
    until(
        lambda: site.query("SELECT count(DISTINCT word) FROM noted WHERE what = 'done'") == [(2 * len(words) + 1,)],
        "all are done",
    )


@pytest.mark.spec("R8")
def test_a_flushed_broker_goes_on_with_the_next_task(site):
    site.worker()
    site.send("tests.write", "before")
    until(lambda: site.noted("before", "done") == 1, "the first task is done")
    if site.environment["CELERY_BROKER_URL"].startswith("redis"):
        flush(site.environment["CELERY_BROKER_URL"])
    else:
        site.query("TRUNCATE pgmq.q_celery")
    site.send("tests.write", "after")
    until(lambda: site.noted("after", "done") == 1, "the next task is done")


def test_a_pickled_task_is_refused(site, tmp_path):
    """T19: nothing that comes through the broker may run code of its own."""
    trace = tmp_path / "trace"

    class Trap:
        def __reduce__(self):
            return (Path.touch, (trace,))

    pickle.dumps(Trap())
    call = (
        "import pathlib\n"
        "class Trap:\n"
        f"    def __reduce__(self): return (pathlib.Path.touch, (pathlib.Path({str(trace)!r}),))\n"
        "from tests.config.worker_app import app\n"
        "app.send_task('tests.write', [Trap()], serializer='pickle')"
    )
    site.worker()
    subprocess.run([sys.executable, "-c", call], cwd=ROOT, env=site.environment, check=True)
    site.send("tests.write", "harmless")
    until(lambda: site.noted("harmless", "done") == 1, "the worker goes on")
    assert not trace.exists()


@pytest.fixture
def empty_database(server) -> Iterator[str]:
    """A database without the queues' schema."""
    with own_database(server[1]) as url:
        yield url


def test_the_queues_schema_is_made_once_however_many_ask(empty_database):
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(broker.prepare, [empty_database] * 8))
    assert sorted(made) == [False] * 7 + [True]
    assert broker.prepare(empty_database) is False


def test_a_new_version_of_the_queues_replaces_the_schema(empty_database):
    broker.prepare(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("SELECT pgmq.create('old')")
        connection.execute(f"COMMENT ON SCHEMA pgmq IS '{broker.MADE_BY_US}0.1'")
    assert broker.prepare(empty_database) is True
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT count(*) FROM pgmq.meta").fetchone() == (0,)


def test_a_schema_of_somebody_elses_making_is_left_alone(empty_database):
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA pgmq")
        connection.execute("CREATE TABLE pgmq.meta (theirs text)")
    assert broker.prepare(empty_database) is False


def test_processes_that_make_one_queue_at_once_all_succeed(empty_database):
    broker.prepare(empty_database)
    database = {"NAME": "", "OPTIONS": {}}
    script = """
import sys
from kombu import Connection, Queue
options = {"init_extension": False, "conn_string": sys.argv[1], "pool_size": 2}
sys.stdin.readline()
with Connection("pgmq://muster", transport_options=options) as connection:
    for number in range(20):
        queue = connection.SimpleQueue(f"queue_{number}")
        queue.put({"from": sys.argv[2]})
        queue.close()
print("fine")
"""
    assert broker_options("pgmq://muster", database)["init_extension"] is False
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, make_conninfo("", **conninfo_to_dict(empty_database)), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ended = [racer.communicate(timeout=60) for racer in racers]
    assert [out for out, _ in ended] == ["fine\n"] * 4, ended
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT count(*) FROM pgmq.meta").fetchone() == (20,)
        assert connection.execute("SELECT sum(queue_length) FROM pgmq.metrics_all()").fetchone() == (80,)


def test_a_worker_that_stops_while_it_takes_a_message_holds_up_nobody(empty_database):
    broker.prepare(empty_database)
    known = conninfo_to_dict(empty_database)
    database = {"NAME": known.pop("dbname"), "OPTIONS": known}
    options = broker_options("pgmq://muster", database)
    with (
        Connection("pgmq://muster", transport_options=options) as workers,
        Connection("pgmq://muster", transport_options=options) as senders,
        ThreadPoolExecutor(1) as threads,
    ):
        workers.SimpleQueue("tasks").put({"number": 1})
        client = workers.transport._get_pgmq_client()
        with (
            pytest.raises(workers.connection_errors, match="idle-in-transaction"),
            client.pool.connection() as stopped,
        ):
            client.read("tasks", conn=stopped)
            # It makes the queue first, for which it needs a lock that the reader has.
            threads.submit(lambda: senders.SimpleQueue("tasks").put({"number": 2})).result(timeout=10)
            stopped.execute("SELECT 1")
        queue = workers.SimpleQueue("tasks")
        assert sorted(queue.get(timeout=5).payload["number"] for _ in range(2)) == [1, 2]


def test_the_brokers_address_is_the_databases():
    database = {"HOST": "db.example", "PORT": 5433, "USER": "me", "PASSWORD": "it's", "NAME": "muster", "OPTIONS": {}}
    said = conninfo_to_dict(broker_options("pgmq://muster", database)["conn_string"])
    assert said.pop("options") == BROKER_SESSIONS
    assert said == {"host": "db.example", "port": "5433", "user": "me", "password": "it's", "dbname": "muster"}
    assert conninfo_to_dict(conninfo(database)) == said
    assert "conn_string" not in broker_options("redis://localhost", database)
    assert postgres.NAME == "muster"
