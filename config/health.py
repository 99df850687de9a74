"""Is this process alive, and is the installation fit to work?"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from config import drain

log = structlog.get_logger(__name__)

OLDEST_POSTGRES = 15
CLOCK_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the installation: a code for machines, a sentence that says what to do."""

    code: str
    sentence: str


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Answer that this process runs."""
    return HttpResponse("alive\n", content_type="text/plain")


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 where the installation is fit to work, else 503 with the codes of what is wrong."""
    found = faults()
    for fault in found:
        log.error("not ready", fault=fault.code, meaning=fault.sentence)
    state = "faulty" if found else "ready"
    codes = [fault.code for fault in found]
    return JsonResponse({"state": state, "faults": codes}, status=503 if found else 200)


def faults() -> list[Fault]:
    """Return everything that is wrong, nothing where all is well."""
    found = [fault for check in FOLDER_CHECKS if (fault := check())]
    try:
        found += [fault for check in DATABASE_CHECKS if (fault := check())]
    except DatabaseError:
        found.append(Fault("database_away", "PostgreSQL does not answer: look at DATABASE_URL and the server's log."))
    return found


def about_to_end() -> Fault | None:
    """Whoever sends requests shall send them elsewhere."""
    return Fault("draining", "Muster was told to end on this machine.") if drain.is_announced() else None


def wrong_server_version() -> Fault | None:
    """PostgreSQL 15 is the oldest that has what the schema uses."""
    major = int(_shown("server_version_num")) // 10_000
    if major >= OLDEST_POSTGRES:
        return None
    return Fault("server_too_old", f"PostgreSQL {major} is too old: Muster needs {OLDEST_POSTGRES} or newer.")


def fsync_off() -> Fault | None:
    """Without fsync an acknowledged fire is lost when the machine stops."""
    if _shown("fsync") == "on":
        return None
    return Fault("fsync_off", "PostgreSQL runs with fsync off and loses data when the machine stops: switch it on.")


def full_page_writes_off() -> Fault | None:
    """Without whole pages in the log a torn page stays torn after a crash."""
    if _shown("full_page_writes") == "on":
        return None
    return Fault("full_page_writes_off", "PostgreSQL runs with full_page_writes off: switch it on.")


def clocks_differ() -> Fault | None:
    """Instants come from both clocks, and are compared."""
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        theirs = float(cursor.fetchone()[0])
    after = time.time()
    off = max(before - theirs, theirs - after, 0.0)
    if off < CLOCK_TOLERANCE_SECONDS:
        return None
    return Fault(
        "clocks_differ",
        f"The clocks of this machine and of PostgreSQL differ by {off:.1f} s: run NTP on both.",
    )


def keys_open_to_others() -> Fault | None:
    """Keys are for our own user."""
    folder: Path = settings.DATA_DIR / "keys"
    if not folder.exists() or not folder.stat().st_mode & 0o077:
        return None
    return Fault("keys_open", f"Other users can look into {folder}: chmod 700.")


def data_folder_not_writable() -> Fault | None:
    """The spool and exported files are written here."""
    if os.access(settings.DATA_DIR, os.W_OK | os.X_OK):
        return None
    return Fault("data_folder_not_writable", f"Muster cannot write into {settings.DATA_DIR}: give it to our user.")


def _shown(setting: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [setting])
        return str(cursor.fetchone()[0])


FOLDER_CHECKS: list[Callable[[], Fault | None]] = [about_to_end, keys_open_to_others, data_folder_not_writable]
DATABASE_CHECKS: list[Callable[[], Fault | None]] = [
    wrong_server_version,
    fsync_off,
    full_page_writes_off,
    clocks_differ,
]
