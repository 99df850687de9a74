"""A PostgreSQL of the benchmark's own, an advertiser with a pixel, and the servers that are compared."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from config.listeners import door_listener

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("MUSTER_BENCH_DIR") or tempfile.mkdtemp(prefix="muster-bench-"))
VISITORS = 50_000
DOOR_WORKERS = 2  # as `manage.py up` starts on two cores


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


SSH_PORT = free_port()


def prepare_environment() -> None:
    """Point the settings at a data folder of the benchmark's own; before Django is set up."""
    FOLDER.chmod(0o711)
    os.environ["MUSTER_DATA_DIR"] = str(FOLDER)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    os.environ.setdefault("MUSTER_COOKIE_KEYS", f"k1:{secrets.token_urlsafe(32)}")
    os.environ["MUSTER_DEV_HTTP_COOKIE"] = "1"
    os.environ["EXPORT_FOLDERS"] = f"test={FOLDER / 'exported'}"
    os.environ["EXPORT_RUN_DIR"] = str(FOLDER / "runs")
    os.environ["DELIVERY_ALLOWED_NETWORKS"] = "127.0.0.0/8"
    os.environ["DELIVERY_ALLOWED_PORTS"] = str(SSH_PORT)
    os.environ["MUSTER_DRAIN_SECONDS"] = "0"
    # The benchmark is the worker.
    os.environ["CELERY_BROKER_URL"] = "memory://"
    # One address and a few browsers stand for the whole world.
    for limit in ("FIRES_PER_BROWSER", "FIRES_PER_ADDRESS", "CALLS_PER_ADDRESS", "CALLS_PER_SERVER_KEY"):
        os.environ[f"MUSTER_{limit}"] = "0"


def clean_up() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)


@contextmanager
def server(arguments: Sequence[str], port: int, **environment: str) -> Iterator[str]:
    """Run a server until the block ends; yield its URL as soon as it answers."""
    log = (FOLDER / f"server-{port}.log").open("wb")
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / arguments[0]), *arguments[1:]],  # an absolute path stays as it is
        cwd=ROOT,
        env=os.environ | environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_for(port, process, Path(log.name))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when a request is answered, with whatever status: a socket may listen before its workers do."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            probe.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if probe.recv(1):
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def raw_asgi() -> Iterator[str]:
    port = free_port()
    command = ["granian", "--interface=asgi", "--loop=uvloop", "--workers=1", "--no-ws", "--log-level=warning"]
    command += ["--host=127.0.0.1", f"--port={port}", "benchmarks.raw:app"]
    with server(command, port) as url:
        yield url


@contextmanager
def door() -> Iterator[str]:
    port = free_port()
    with server(door_listener(f"127.0.0.1:{port}", workers=DOOR_WORKERS), port) as url:
        yield url


@contextmanager
def nginx() -> Iterator[str]:
    """nginx with its `empty_gif`: nothing is parsed, nothing is stored."""
    port = free_port()
    folder = FOLDER / "nginx"
    folder.mkdir(exist_ok=True)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{ worker_connections 1024; }} http {{ access_log off; {temporary} keepalive_requests 100000000;"
        f" server {{ listen 127.0.0.1:{port}; location / {{ empty_gif; }} }} }}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        sys.exit("make bench needs the program nginx. On Debian: apt-get install nginx-light")
    with server([program, "-c", str(config)], port) as url:
        yield url


@contextmanager
def naive_django(database_url: str) -> Iterator[str]:
    port = free_port()
    arguments = ["gunicorn", "--workers", "2", "--worker-class", "gthread", "--threads", "2", "--bind"]
    arguments += [f"127.0.0.1:{port}", "--log-level", "warning", "benchmarks.naive.wsgi"]
    with server(arguments, port, DATABASE_URL=database_url) as url:
        yield url
