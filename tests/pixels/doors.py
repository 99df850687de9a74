"""The two doors that the tests knock at: the listener in a process of its own, and Django's views."""

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection
from django.test import Client

from config.listeners import door_listener
from pixels import views
from pixels.catalogue import announce
from pixels.models import FireDelta

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20.0


@dataclass
class Reply:
    """What a door said; header names in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for found, value in self.headers if found == name), None)

    @property
    def cookie(self) -> str | None:
        """The new cookie, as a browser would send it back."""
        line = self.header("set-cookie")
        return line.partition(";")[0] if line else None


class DoorUnderTest:
    """A door, and a way to wait until it knows all that is committed."""

    name: str

    def get(self, target: str, *, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        """Send a request; `target` as it stands in the request line, headers with _ for -."""
        raise NotImplementedError

    def post(self, target: str, body: bytes, **headers: str) -> Reply:
        return self.get(target, method="POST", body=body, **headers)

    def read_at(self) -> datetime | None:
        """When this door has read its catalogue."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Let the door open its connection anew, if a test before has broken it, and begin to count at 0."""
        until(lambda: self.get("/seg").status == 200)
        FireDelta.objects.all().delete()

    def catch_up(self) -> None:
        """Return when the door's catalogue is younger than everything committed until now."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (now,) = cursor.fetchone()
        announce()
        until(lambda: (self.read_at() or now) > now)


class DjangoDoor(DoorUnderTest):
    name = "django"

    def get(self, target: str, *, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        sent = {"HTTP_" + name.upper(): value for name, value in headers.items()}
        path, _, query = target.partition("?")
        # Client.get() would decode the query string and write it anew.
        response = Client().generic(method, path, body, **sent, QUERY_STRING=query)
        pairs = [(name.lower(), value) for name, value in response.items()]
        return Reply(response.status_code, pairs, response.content)

    def read_at(self) -> datetime | None:
        return views.counter().intake.catalogue.picture.read_at


class ListenerDoor(DoorUnderTest):
    name = "listener"

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def get(self, target: str, *, method: str = "GET", body: bytes = b"", **headers: str) -> Reply:
        peer = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            peer.putrequest(method, target, skip_host="host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                peer.putheader(name.replace("_", "-"), value)
            if body:
                peer.putheader("content-length", str(len(body)))
            peer.endheaders(body or None)
            response = peer.getresponse()
            pairs = [(name.lower(), value) for name, value in response.getheaders()]
            return Reply(response.status, pairs, response.read())
        finally:
            peer.close()

    def read_at(self) -> datetime | None:
        at = json.loads(self.get("/health/ready").body)["catalogue_at"]
        return datetime.fromisoformat(at) if at else None

    def status(self, path: str) -> int | None:
        """Return the status of a path, None while nobody listens."""
        assert self.process.poll() is None, "the door has ended"
        try:
            return self.get(path).status
        except OSError:
            return None


def until(holds: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Return when `holds()` is true; fail when it is not by then."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def listener_door(*, is_ready: bool = True, port: int = 0, **environment: str) -> Iterator[ListenerDoor]:
    """Start the door as `manage.py up` does, on a port of its own and this test's database."""
    port = port or free_port()
    process = subprocess.Popen(
        door_listener(f"127.0.0.1:{port}", workers=1),
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": database_url(),
            "MUSTER_DATA_DIR": str(settings.DATA_DIR),
            "MUSTER_DEV_HTTP_COOKIE": "off",
            **environment,
        },
    )
    door = ListenerDoor(port, process)
    try:
        until(lambda: door.status("/health/ready" if is_ready else "/health/live") == 200)
        yield door
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def database_url() -> str:
    """Return the test database's address for the environment of another process."""
    known = connection.settings_dict
    place = known["HOST"] + (f":{known['PORT']}" if known["PORT"] else "")
    login = f"{quote(known['USER'], safe='')}:{quote(known['PASSWORD'], safe='')}"
    return f"postgresql://{login}@{place}/{known['NAME']}?{urlencode(known['OPTIONS'])}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
