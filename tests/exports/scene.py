"""An advertiser with segments, destinations and exports, and workers as processes of their own."""

import csv
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncssh
from django.conf import settings
from django.db import connection
from psycopg.conninfo import conninfo_to_dict

from audience.models import Advertiser
from audience.tenancy import acting_for
from config.environment import conninfo
from exports import runs, vault
from exports.destinations import host_keys
from exports.models import Destination, Export, ExportColumn, ExportSegment, HostKey, Run
from exports.working import work_on
from segments.models import Segment
from tests.exports.servers import PasswordServer, Sshd
from tests.factories import make_advertiser, make_member, make_profile, make_segment
from tests.running import ROOT

YESTERDAY = timedelta(days=1)
DUE = datetime(2027, 3, 1, 4, 0, tzinfo=UTC)
EMAIL = {"source": "identifier", "identifier_kind": "email"}
CUSTOMER = {"source": "identifier", "identifier_kind": "customer_id"}


@dataclass
class Scene:
    """What a test acts on. `folder` is the root that folder destinations write to."""

    advertiser: Advertiser
    folder: Path
    run_folder: Path

    def segment(self, code: str = "cart", *, members: int = 0, **fields: Any) -> Segment:
        segment = make_segment(self.advertiser, code, **fields)
        for number in range(members):
            self.member(segment, email=f"{code}{number}@example.com", customer_id=f"{code}-{number:04}")
        return segment

    def member(self, segment: Segment, *, value: int | None = None, **identifiers: str):
        profile = make_profile(self.advertiser, **identifiers)
        return make_member(segment, profile, starts_at=datetime.now(UTC) - YESTERDAY, value=value)

    def folder_destination(self, **fields: Any) -> Destination:
        return self._destination(kind="folder", root="test", path="out", **fields)

    def sftp_destination(self, server: Sshd | PasswordServer, *, password: str = "", **fields: Any) -> Destination:
        username = getattr(server, "username", "ana")
        fields = {"kind": "sftp", "host": "127.0.0.1", "port": server.port, "username": username} | fields
        destination = self._destination(login="password" if password else "key", **fields)
        with acting_for(self.advertiser.pk):
            kind, secret = ("password", password) if password else ("private_key", server.private_key)
            vault.keep_secret(destination, kind, secret, set_by="Ana")
        self.pin(destination, server.public_host_key)
        return destination

    def pin(self, destination: Destination, public_key: str) -> None:
        key = host_keys.shown(destination.host, destination.port, asyncssh.import_public_key(public_key))
        with acting_for(self.advertiser.pk):
            host_keys.confirm(destination, key, how=HostKey.How.COMPARED, confirmed_by="Ana")

    def export(self, destination: Destination, *segments: Segment, columns: Any = (EMAIL,), **fields: Any) -> Export:
        defaults = {"name": f"Export {Export.all_advertisers.count() + 1}", "file_name": "{segment_code}_{date}.csv"}
        with acting_for(self.advertiser.pk):
            export = Export.objects.create(destination=destination, **defaults | {"compression": "none"} | fields)
            for position, segment in enumerate(segments):
                ExportSegment.objects.create(export=export, segment=segment, position=position)
            for position, column in enumerate(columns):
                ExportColumn.objects.create(export=export, position=position, **column)
        return export

    def start(self, export: Export, **options: Any) -> Run:
        with acting_for(self.advertiser.pk):
            return runs.start_run(export, **{"due_at": DUE, "started_by": "Ana"} | options)

    def run(self, export: Export, **options: Any) -> Run:
        """Start a run and work on it here until there is nothing to do."""
        run = self.start(export, **options)
        work_on(run.pk)
        return self.fresh(run)

    def again(self, run: Run) -> Run:
        with acting_for(self.advertiser.pk):
            again = runs.run_again(run, started_by="Ana")
        work_on(again.pk)
        return self.fresh(again)

    def fresh(self, run: Run) -> Run:
        return Run.all_advertisers.select_related("export", "destination").get(pk=run.pk)

    def try_now(self, run: Run) -> Run:
        """Let a waiting run's next try be due, and make it."""
        Run.all_advertisers.filter(pk=run.pk).update(next_try_at=datetime.now(UTC) - timedelta(seconds=1))
        work_on(run.pk)
        return self.fresh(run)

    def free(self, run: Run) -> None:
        """Let the lease of a dead worker be over."""
        Run.all_advertisers.filter(pk=run.pk).exclude(lease_ends_at=None).update(
            lease_ends_at=datetime.now(UTC) - timedelta(seconds=1)
        )

    def set(self, destination: Destination, **fields: Any) -> None:
        Destination.all_advertisers.filter(pk=destination.pk).update(**fields)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def _destination(self, **fields: Any) -> Destination:
        defaults = {"name": f"Destination {Destination.all_advertisers.count() + 1}", "receiver": "own"}
        with acting_for(self.advertiser.pk):
            return Destination.objects.create(**defaults | {"state": "ready"} | fields)


def make_scene(folder: Path) -> Scene:
    return Scene(make_advertiser(), folder / "root", folder / "runs")


def read_csv(path: Path, *, encoding: str = "utf-8", **options: Any) -> list[list[str]]:
    """Read a file as a receiver would, with nothing of ours."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return list(csv.reader(io.StringIO(content.decode(encoding), newline=""), strict=True, **options))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check_set(folder: Path, run: Run) -> dict[str, Any]:
    """Check the one set of a folder: every file is as the manifest and the record say; return the manifest."""
    (path,) = folder.glob("*.manifest.json")
    manifest = json.loads(path.read_text())
    for file in manifest["files"]:
        assert (folder / file["name"]).stat().st_size == file["bytes"]
        assert sha256(folder / file["name"]) == file["sha256"]
    with acting_for(run.advertiser_id):
        recorded = {file.name: file.sha256 for file in run.files.filter(claim=run.files_claim)}
    assert {name: sha256(folder / name) for name in recorded} == recorded
    assert not list(folder.glob("*.part"))
    return manifest


def members_by_sql(segment: Segment, at: datetime, kind: str = "email") -> set[str]:
    """Who is in at an instant and has the identifier, by a statement of this test alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.value FROM segments_membership m JOIN audience_identifier i USING (advertiser_id, profile_id) "
            "WHERE m.segment_id = %s AND m.starts_at <= %s AND m.expires_at > %s AND i.kind = %s",
            [segment.pk, at, at, kind],
        )
        return {value for (value,) in cursor.fetchall()}


class Worker:
    """A process that works on runs, on the database of this test; `CRASH_AT` and more by `environment`."""

    def __init__(self, run: Run, **environment: str) -> None:
        command = [sys.executable, "-m", "tests.exports.worker", str(run.pk)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=worker_environment() | environment)

    def wait(self) -> int:
        return self.process.wait(60)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


def crash(run: Run, at: str) -> None:
    """Let a worker die at a point."""
    with Worker(run, CRASH_AT=at) as worker:
        assert worker.wait() == -signal.SIGKILL, f"the worker did not come to {at}"


def worker_environment() -> dict[str, str]:
    """Return the environment in which another process has this test's settings and database."""
    networks = ",".join(str(network) for network in settings.DELIVERY_ALLOWED_NETWORKS)
    folders = ",".join(f"{name}={path}" for name, path in settings.EXPORT_FOLDERS.items())
    ours = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database_url(),
        "MUSTER_DATA_DIR": str(settings.DATA_DIR),
        "DELIVERY_ALLOWED_NETWORKS": networks,
        "DELIVERY_ALLOWED_PORTS": ",".join(map(str, settings.DELIVERY_ALLOWED_PORTS)),
        "DELIVERY_KEYS": ",".join(settings.DELIVERY_KEYS),
        "EXPORT_FOLDERS": folders,
        "EXPORT_RUN_DIR": str(settings.EXPORT_RUN_DIR),
        "EXPORT_LEASE_SECONDS": str(settings.EXPORT_LEASE_SECONDS),
    }
    return {**os.environ, **ours}


def database_url() -> str:
    to = conninfo_to_dict(conninfo(connection.settings_dict))
    login = f"{quote(str(to.get('user', '')), safe='')}:{quote(str(to.get('password', '')), safe='')}"
    where = f"host={quote(str(to.get('host', '')), safe='')}&port={to.get('port', 5432)}"
    return f"postgresql://{login}@/{to['dbname']}?{where}"
