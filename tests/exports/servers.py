"""Real SFTP servers on loopback: OpenSSH with keys and a folder of its own, and one that answers passwords."""

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
PATIENCE_SECONDS = 20


def wait_until(is_so: Callable[[], object], what: str = "it", seconds: float = PATIENCE_SECONDS) -> None:
    """Wait on a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds} s for {what}")
        threading.Event().wait(0.02)


class Sshd:
    """An OpenSSH server of one test. `options` go to internal-sftp: `-R`, `-P rename` …"""

    username = "root" if os.getuid() == 0 else os.environ.get("USER", "")

    def __init__(self, folder: Path, *, options: str = "", port: int = 0) -> None:
        if not Path(SSHD).exists():
            pytest.skip("This test needs OpenSSH's sshd: apt install openssh-server")
        self.folder, self.options = folder, options
        self.files = folder / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.make_host_key()
        self._make_key("login", "ed25519")
        shutil.copy(folder / "login.pub", folder / "authorized_keys")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def private_key(self) -> str:
        return (self.folder / "login").read_text()

    @property
    def public_host_key(self) -> str:
        return " ".join((self.folder / "host.pub").read_text().split()[:2])

    def make_host_key(self, kind: str = "ed25519") -> None:
        for old in self.folder.glob("host*"):
            old.unlink()
        self._make_key("host", kind)

    def authorize(self, public_key: str) -> None:
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(public_key + "\n")

    def start(self) -> "Sshd":
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        (self.folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\nPermitRootLogin yes\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nLogLevel DEBUG1\n"
            f"Subsystem sftp internal-sftp -d {self.files} {self.options}\nMaxStartups 100\n"
        )
        with (self.folder / "log").open("ab") as log:
            before = log.tell()
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(self.folder / "config")], stderr=log)
        # A connection to see whether it answers would be logged, perhaps after a test has emptied the log.
        wait_until(lambda: f"Server listening on 127.0.0.1 port {self.port}" in self.log[before:], "sshd")
        return self

    def stop(self) -> None:
        """Kill the server and its sessions, as a crash would."""
        if self.process is not None:
            for pid in [*descendants(self.process.pid), self.process.pid]:
                kill(pid)
            self.process.wait()
            self.process = None

    def __enter__(self) -> "Sshd":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make_key(self, name: str, kind: str) -> None:
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(self.folder / name)]
        subprocess.run(command, check=True)


class _PasswordServer(asyncssh.SSHServer):
    def __init__(self, log: list[str], password: str, questions: list[str]) -> None:
        self.log, self.password, self.questions = log, password, questions

    def begin_auth(self, username: str) -> bool:
        self.log.append(f"user {username}")
        return True

    def password_auth_supported(self) -> bool:
        return not self.questions

    def validate_password(self, username: str, password: str) -> bool:
        self.log.append("password")
        return password == self.password

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str):
        questions = self.questions or ["Password: "]
        return "", "", "en", [(question, False) for question in questions]

    def validate_kbdint_response(self, username: str, responses: list[str]) -> bool:
        self.log.append("keyboard-interactive")
        return responses == [self.password]


class PasswordServer:
    """An SSH server in a thread, for passwords: no test may make a user of the system.

    With `questions` it takes keyboard-interactive only. `log` tells users named and log-ins tried.
    """

    def __init__(self, folder: Path, password: str, *, questions: list[str] | None = None) -> None:
        self.folder, self.log, self._stop = folder, [], threading.Event()
        self.files = folder / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.public_host_key = " ".join(self.key.export_public_key().decode().split()[:2])
        self.port = 0
        self._make = lambda: _PasswordServer(self.log, password, questions or [])

    def __enter__(self) -> "PasswordServer":
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)

    async def _serve(self, ready: threading.Event) -> None:
        def sftp(channel: asyncssh.SSHServerChannel) -> asyncssh.SFTPServer:
            return asyncssh.SFTPServer(channel, chroot=str(self.files))

        server = await asyncssh.create_server(
            self._make, "127.0.0.1", 0, server_host_keys=[self.key], sftp_factory=sftp, config=None
        )
        self.port = server.get_port()
        ready.set()
        await asyncio.to_thread(self._stop.wait)
        server.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    children = [int(line) for line in listed.stdout.split()]
    return [below for child in children for below in [*descendants(child), child]]


def kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


@contextmanager
def listener() -> Iterator[tuple[int, list[object]]]:
    """A loopback port that counts who connects."""
    counted: list[object] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.05)
        stop = threading.Event()

        def count() -> None:
            while not stop.is_set():
                try:
                    counted.append(server.accept())
                except TimeoutError:
                    continue
                except OSError:
                    return

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], counted
        finally:
            stop.set()
            thread.join()
