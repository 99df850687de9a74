"""`manage.py up`: all of Muster on this machine, as one group."""

import http.client
import os
import secrets
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command
from django.db import OperationalError, connection

from audience.metrics import FOLDER_VARIABLE
from config import drain, health, metrics
from config.celery import prepare_broker
from config.demo import storefront
from config.listeners import door_listener, web_listener
from config.ports import PortTakenError, await_free, nearby
from config.postgres import EmbeddedServer, PostgresError
from config.supervisor import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Group, Program, to_terminal

OPERATOR = "operator"
LOCK = 0x6D75_7374_7570  # "mustup": one machine at a time migrates
LOOK_SECONDS = 0.2
EXPORTS_AT_ONCE = 16


class Command(BaseCommand):
    """Start PostgreSQL, web, door, worker and beat; end them all on Ctrl-C."""

    help = "Start Muster on this machine: PostgreSQL (unless DATABASE_URL is set), web, door, worker and beat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="fill a demo advertiser once Muster is up")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stopping = threading.Event()
        self.is_urgent = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            await_free(settings.MUSTER_ADMIN_BIND, setting="MUSTER_ADMIN_BIND")
            await_free(settings.MUSTER_PIXEL_BIND, setting="MUSTER_PIXEL_BIND")
            server = start_database()
        except (PortTakenError, PostgresError) as error:
            raise CommandError(str(error)) from error
        try:
            password = prepare_installation()
            has_shop = opens_shop(demo=options["demo"])
            self._run(server, password, demo=options["demo"], has_shop=has_shop)
        finally:
            connection.close()
            if server:
                server.stop()
                to_terminal("postgres", "ended")

    def _stop(self, number: int, frame: object) -> None:
        if self.stopping.is_set():
            raise SystemExit(1)  # a second Ctrl-C: the leash ends the programs at once
        self.is_urgent = number == signal.SIGINT  # somebody sits at the terminal and waits
        self.stopping.set()

    def _run(self, server: EmbeddedServer | None, password: str, *, demo: bool, has_shop: bool) -> None:
        group = Group(
            programs=[*programs(), *([shop_program()] if has_shop else [])],
            endings=[["shop", "beat", "worker", "exporter", "door"], ["web"]],
            folder=settings.BASE_DIR,
            logs=settings.DATA_DIR / "logs",
            say=to_terminal,
        )
        if self.stopping.is_set():
            return
        # Each program keeps its counts there, and the web adds them up.
        os.environ[FOLDER_VARIABLE] = str(metrics.make_folder())
        os.environ[drain.FILE_VARIABLE] = str(settings.DATA_DIR / "draining")
        drain.take_back()
        revival = Revival(server)
        group.start()
        try:
            if self._await_answers(group, has_shop=has_shop):
                self.stdout.write(greeting(password, has_shop=has_shop))
                self.stdout.flush()
                if demo:
                    group.add(Program("demo", manage("demo"), once=True))
            while not self.stopping.wait(LOOK_SECONDS):
                group.watch()
                revival.look()
        finally:
            to_terminal("muster", "ends: beat, workers and door first, then the web, then PostgreSQL")
            drain.announce()
            group.stop(is_urgent=self.is_urgent)
            drain.take_back()

    def _await_answers(self, group: Group, *, has_shop: bool) -> bool:
        """Wait until the listeners answer; return False where somebody wants to stop before."""
        waiting = [
            (settings.MUSTER_ADMIN_BIND, settings.MUSTER_ADMIN_URL),
            (settings.MUSTER_PIXEL_BIND, settings.MUSTER_PIXEL_URL),
            *([(settings.MUSTER_SHOP_BIND, storefront.origin())] if has_shop else []),
        ]
        while waiting and not self.stopping.wait(LOOK_SECONDS):
            group.watch()
            waiting = [listener for listener in waiting if not answers(*listener)]
        return not waiting


def start_database() -> EmbeddedServer | None:
    """Start the embedded server, unless DATABASE_URL names another one, which must answer."""
    if settings.DATABASE_URL:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise PostgresError(f"PostgreSQL does not answer, look at DATABASE_URL: {error}") from error
        return None
    programs = Path(settings.MUSTER_POSTGRES_BIN) if settings.MUSTER_POSTGRES_BIN else None
    server = EmbeddedServer(settings.DATA_DIR, options=settings.MUSTER_POSTGRES_OPTIONS, programs=programs)
    began = time.monotonic()
    server.start()
    to_terminal("postgres", f"answers after {time.monotonic() - began:.1f} s")
    return server


class Revival:
    """Starts the embedded server again when it has died, with a growing pause where that fails."""

    def __init__(self, server: EmbeddedServer | None) -> None:
        self.server = server
        self.pause_seconds = FIRST_PAUSE_SECONDS
        self.not_before = 0.0

    def look(self) -> None:
        server, now = self.server, time.monotonic()
        if server is None or now < self.not_before or (server.process and server.process.poll() is None):
            return
        to_terminal("postgres", "ended unasked; starts again")
        try:
            server.start()
            self.pause_seconds = FIRST_PAUSE_SECONDS
        except PostgresError as error:
            to_terminal("postgres", str(error))
            self.not_before = time.monotonic() + self.pause_seconds
            self.pause_seconds = min(self.pause_seconds * 2, LONGEST_PAUSE_SECONDS)


def prepare_installation() -> str:
    """Bring schema and static files up to date; return the operator's password on the very first start."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        call_command("migrate", interactive=False, verbosity=0)
        prepare_broker()
        password = make_operator()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
    call_command("collectstatic", interactive=False, verbosity=0)
    found = health.faults()
    if found:
        raise CommandError("Muster does not start.\n" + "\n".join(f"- {fault.sentence}" for fault in found))
    return password


def make_operator() -> str:
    """Make the first superuser and return the password; return "" where there is a superuser already."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return ""
    password = secrets.token_urlsafe(15)
    users.create_superuser(OPERATOR, password=password)
    return password


def programs() -> list[Program]:
    """Return the programs of the group: two listeners, two workers, one clock."""
    drain_seconds = settings.MUSTER_DRAIN_SECONDS
    web = web_listener(settings.MUSTER_ADMIN_BIND, threads=settings.MUSTER_WEB_THREADS)
    door = door_listener(
        settings.MUSTER_PIXEL_BIND, workers=settings.MUSTER_DOOR_WORKERS, drain_seconds=drain_seconds
    )
    short = [*worker("celery"), f"--concurrency={settings.MUSTER_WORKER_CONCURRENCY}"]
    return [
        Program("web", [*web, "config.wsgi:application"]),
        Program("door", door, drain_seconds + 14.0, drains=True),
        Program("worker", short),
        # Threads: a run mostly waits, and one at a destination that hangs must not hold up those of others.
        Program("exporter", [*worker("exports"), "--pool=threads", f"--concurrency={EXPORTS_AT_ONCE}"]),
        Program("beat", [*celery("beat"), "--scheduler=config.beat:StandbyScheduler", "--pidfile="]),
    ]


def opens_shop(*, demo: bool) -> bool:
    """Say whether the demo shop is served: there is one, or there will be; make sure that its port is free."""
    if not settings.MUSTER_SHOP_BIND or not (demo or storefront.find_config()):
        return False
    try:
        await_free(settings.MUSTER_SHOP_BIND, setting="MUSTER_SHOP_BIND")
    except PortTakenError as error:
        raise CommandError(str(error)) from error
    return True


def shop_program() -> Program:
    """Return the listener of the demo shop."""
    command = web_listener(settings.MUSTER_SHOP_BIND, threads=2)
    return Program("shop", [*command, "config.shop:application"])


def celery(what: str) -> list[str]:
    # Celery warns of root at each start; whoever starts Muster as root on a machine of its own knows.
    warned = "-Wignore:You're running the worker with superuser privileges"
    return [sys.executable, warned, "-m", "celery", "--quiet", "--app=config.celery", what]


def worker(queue: str) -> list[str]:
    """Return the command line of a worker for one queue; workers do not talk to each other."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [*celery("worker"), f"--queues={queue}", f"--hostname={queue}@%h", *quiet]


def manage(*words: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]


def answers(bind: str, url: str) -> bool:
    """Say whether a listener answers HTTP there, with whatever status."""
    listener = http.client.HTTPConnection(*nearby(bind), timeout=5)
    try:
        listener.request("GET", "/health/live", headers={"Host": urlsplit(url).netloc})
        return bool(listener.getresponse().status)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        listener.close()


def greeting(password: str, *, has_shop: bool) -> str:
    """Return what a person needs to know once Muster is up."""
    admin, door = settings.MUSTER_ADMIN_URL, settings.MUSTER_PIXEL_URL
    lines = ["", "Muster is up.", "", f"  Admin   {admin}/admin/", f"  API     {admin}/api/v1/", f"  Pixels  {door}"]
    if has_shop:
        lines.append(f"  Shop    {storefront.origin()}, a demo")
    if password:
        lines += ["", f"  Log in as {OPERATOR} with the password {password}", "  It is shown this once: keep it."]
    lines += ["", f"Logs are in {settings.DATA_DIR / 'logs'}. Ctrl-C ends everything.", ""]
    return "\n".join(lines)
