"""Muster as it runs in life: `manage.py up` in a process of its own, on free ports, in a folder of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connections

from config import postgres
from config.environment import conninfo
from config.leash import leashed
from config.settings import env

ROOT = Path(__file__).resolve().parent.parent
Value = TypeVar("Value")


def until(condition: Callable[[], Value], what: str, *, timeout_seconds: float = 60) -> Value:
    """Return the condition's value once it is true; fail with `what` after the deadline."""
    deadline = time.monotonic() + timeout_seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds} s: {what}")
        time.sleep(0.05)
    return value


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def own_folder(name: str) -> Path:
    """Make a folder under this run's own, which PostgreSQL's unprivileged user may walk through."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=settings.DATA_DIR))
    folder.chmod(0o711)
    return folder


def alive(pid: int) -> bool:
    """Say whether this process runs (one that waits to be buried does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def parent_of(pid: int) -> int | None:
    """Return who has started a process; None where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def descendants(pid: int) -> dict[int, str]:
    """Return the processes under `pid`, children of children included, with their command lines."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        parent = parent_of(int(entry.name))
        if parent is not None:
            parents.setdefault(parent, []).append(int(entry.name))
    found: dict[int, str] = {}
    waiting = list(parents.get(pid, []))
    while waiting:
        one = waiting.pop()
        try:
            found[one] = (Path(f"/proc/{one}/cmdline").read_bytes()).replace(b"\0", b" ").decode()
        except OSError:
            continue
        waiting += parents.get(one, [])
    return found


def named_database(url: str, name: str) -> str:
    """Return the address of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def own_database(url: str) -> Iterator[str]:
    """Make an empty database on the server of `url`, yield its address, and drop it."""
    name = f"muster_{os.getpid()}_{os.urandom(4).hex()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield named_database(url, name)
        finally:
            drop_database(server, name)


def drop_database(server: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, whoever is connected to it."""

    def is_dropped() -> bool:
        try:
            server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        except psycopg.errors.InsufficientPrivilege:  # the autovacuum is in it, and is not ours to end
            return False
        return True

    until(is_dropped, f"{name} is dropped")


@dataclass
class LiveMuster:
    """One running Muster. `admin_url`, `pixel_url` and `shop_url` (of a demo shop) are different origins."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)  # over the defaults below
    command: tuple[str, ...] = ("up",)
    admin_url: str = ""
    pixel_url: str = ""
    shop_url: str = ""
    process: subprocess.Popen[bytes] | None = None
    _database: str = ""  # of our own on the server of DATABASE_URL, where one is set

    def __post_init__(self) -> None:
        admin, pixel, shop = free_ports(3)
        self.admin_url, self.pixel_url = f"http://127.0.0.1:{admin}", f"http://localhost:{pixel}"
        self.shop_url = f"http://localhost:{shop}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "CELERY_BROKER_URL"},
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "MUSTER_DATA_DIR": str(self.folder),
            "MUSTER_ADMIN_URL": self.admin_url,
            "MUSTER_PIXEL_URL": self.pixel_url,
            "MUSTER_ADMIN_BIND": f"127.0.0.1:{admin}",
            "MUSTER_PIXEL_BIND": f"127.0.0.1:{pixel}",
            "MUSTER_SHOP_BIND": f"127.0.0.1:{shop}",
            "MUSTER_WORKER_CONCURRENCY": "1",
            "MUSTER_POSTGRES_OPTIONS": "shared_buffers=64MB",
            **self.environment,
        }
        if url := self.environment.get("DATABASE_URL"):
            self._database = f"muster_live_{os.getpid()}_{admin}"
            self.environment["DATABASE_URL"] = named_database(url, self._database)
            with psycopg.connect(url, autocommit=True) as server:
                server.execute(f'CREATE DATABASE "{self._database}"')

    @property
    def output(self) -> str:
        """What `manage.py up` has printed since it was started last."""
        return (self.folder / "up.log").read_text(errors="replace")

    @property
    def operator_password(self) -> str:
        """The password that the first start printed."""
        for log in sorted(self.folder.glob("up*.log")):
            if found := re.search(r"with the password (\S+)", log.read_text(errors="replace")):
                return found[1]
        raise AssertionError("no start of this Muster printed a password")

    @property
    def database(self) -> dict[str, Any]:
        """Its entry in Django's DATABASES."""
        url = self.environment.get("DATABASE_URL") or postgres.url(self.folder)
        return {**env.db_url_config(url), "CONN_MAX_AGE": 0}

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the command; it ends with this test run."""
        log = self.folder / "up.log"
        if log.exists():
            log.rename(self.folder / f"up-{time.time_ns()}.log")
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                leashed([sys.executable, str(ROOT / "manage.py"), *self.command]),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return self.process

    def start(self, *, timeout_seconds: float = 120) -> "LiveMuster":
        """Start it and return when web and door answer."""
        process = self.launch()

        def is_up() -> bool:
            assert process.poll() is None, f"manage.py up ended:\n{self.output}"
            return "Muster is up." in self.output

        try:
            until(is_up, "Muster is up", timeout_seconds=timeout_seconds)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.output}") from error
        return self

    def stop(self, with_signal: int = signal.SIGTERM, *, timeout_seconds: float = 60) -> int:
        """End it and return its exit code."""
        assert self.process is not None
        self.process.send_signal(with_signal)
        return self.process.wait(timeout_seconds)

    def close(self) -> None:
        """End it, and drop the database it had on the server of DATABASE_URL."""
        if self.process and self.process.poll() is None:
            self.stop()
        if self._database:
            with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
                drop_database(server, self._database)

    def manage(self, *words: str, **more: str) -> str:
        """Run a management command of this Muster, with more in its environment; return what it prints."""
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        environment = {**self.environment, **more}
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection to its database, for statements of a test."""
        return psycopg.connect(conninfo(self.database), autocommit=True)

    @contextmanager
    def orm(self) -> Iterator[None]:
        """Point Django's models of this test at its database; what is saved is committed."""
        default = connections["default"]
        default.close()
        before = default.settings_dict
        default.settings_dict = {**before, "OPTIONS": {}, **self.database}
        try:
            yield
        finally:
            default.close()
            default.settings_dict = before
