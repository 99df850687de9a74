"""A PostgreSQL server whose plug can be pulled."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
from django.conf import settings
from django.db import connections

from config import postgres
from config.postgres import EmbeddedServer
from config.settings import env
from tests.running import ROOT, descendants

SMALL = {"shared_buffers": "64MB"}


class Database:
    """A server of this test's own that flushes to disk as in production, with Muster's tables in it.

    `url` leads straight to its socket: put a `tests.faults.proxy.Proxy` in front where the way is to be cut.
    """

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None) -> None:
        programs = Path(settings.MUSTER_POSTGRES_BIN) if settings.MUSTER_POSTGRES_BIN else None
        self.server = EmbeddedServer(folder, options={**SMALL, **(options or {})}, programs=programs)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def socket(self) -> str:
        """The path of the socket that the server listens on."""
        return str(postgres.place(self.server.data_dir).sockets / f".s.PGSQL.{postgres.PORT}")

    def url_by(self, port: int) -> str:
        """Return the address of this database by way of a port of this machine."""
        login, _, rest = self.url.partition("@/")
        return f"{login}@127.0.0.1:{port}/{rest.partition('?')[0]}"

    def start(self, **options: str) -> Self:
        """Start the server; `options` go over those of the last start. After a crash it recovers first."""
        self.server.options = {**self.server.options, **options}
        self.server.start()
        return self

    def migrate(self) -> Self:
        """Make Muster's tables."""
        command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--no-input", "--verbosity=0"]
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": self.url}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        return self

    def stop(self) -> None:
        """End it in order."""
        self.server.stop()

    def crash(self) -> None:
        """Pull the plug, as `pg_ctl stop -m immediate` does: nothing is written any more."""
        process = self.server.process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        self.server.process = None

    def freeze(self) -> None:
        """Stop all its processes where they stand: connections stay open and nothing answers."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        process = self.server.process
        assert process is not None
        # The postmaster first: what it has not started yet cannot be forgotten.
        for pid in (process.pid, *descendants(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection for the statements of a test."""
        return psycopg.connect(self.url, autocommit=True)

    @contextmanager
    def orm(self) -> Iterator[None]:
        """Point Django's models of this test at this database; what is saved is committed."""
        with pointed_at(self.url):
            yield


@contextmanager
def pointed_at(url: str) -> Iterator[None]:
    """Point Django's connection at another database inside the block."""
    default = connections["default"]
    default.close()
    before = default.settings_dict
    default.settings_dict = {**before, "OPTIONS": {}, **env.db_url_config(url), "CONN_MAX_AGE": 0}
    try:
        yield
    finally:
        default.close()
        default.settings_dict = before
