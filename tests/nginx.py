"""The real nginx with the configuration that Muster ships, on ports and in a folder of a test's own."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.leash import leashed
from tests.running import ROOT, free_ports, until

SHIPPED = ROOT / "docs" / "nginx.conf"


class Nginx:
    """nginx in front of a door.

    Of the shipped file only places are changed: ports, certificates, the folder of its logs; and it listens without
    TLS, so that any client can talk to it.
    """

    def __init__(self, folder: Path, *, door_port: int, admin_port: int = 9, is_plain: bool = True) -> None:
        self._program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if self._program is None:
            pytest.skip("nginx is not installed (apt-get install nginx-light)")
        self.folder = folder / "nginx"
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.port, self.admin_port, self._third_port = free_ports(3)
        self.log, self.admin_log = self.folder / "fires.log", self.folder / "admin.log"
        self._main = self.folder / "nginx.conf"
        self._write(door_port, admin_port, is_plain=is_plain)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def check(self) -> subprocess.CompletedProcess[str]:
        """Let nginx look at the file."""
        return subprocess.run([*self._command, "-t"], capture_output=True, text=True)

    def start(self) -> Self:
        self._process = subprocess.Popen(leashed([*self._command, "-g", "daemon off;"]), cwd=self.folder)
        until(self._listens, "nginx listens", timeout_seconds=20)
        return self

    def stop(self) -> None:
        """End it when all that it has taken is answered and logged."""
        assert self._process is not None
        os.kill(int((self.folder / "pid").read_text()), signal.SIGQUIT)
        self._process.wait(30)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def get(self, target: str, *, method: str = "GET", port: int = 0, **headers: str) -> http.client.HTTPResponse:
        """Send a request, headers with _ for -; return the answer, read to its end."""
        peer = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=20)
        try:
            peer.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = peer.getresponse()
            response.read()
            return response
        finally:
            peer.close()

    def fire(self, target: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request to the door; return the answer and its line in the log."""
        before = len(self.lines())
        response = self.get(target, **headers)
        return response, until(lambda: self.lines()[before:], "the request is logged")[0]

    def lines(self) -> list[bytes]:
        """Return the lines of the log of fires."""
        return self.log.read_bytes().splitlines() if self.log.exists() else []

    def everything_written(self) -> bytes:
        """Return all that nginx has written to any log."""
        return b"".join(path.read_bytes() for path in self.folder.glob("*.log"))

    @property
    def _command(self) -> list[str]:
        return [
            self._program or "",
            "-p",
            str(self.folder),
            "-c",
            str(self._main),
            "-e",
            str(self.folder / "start.log"),
        ]

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "nginx has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _write(self, door_port: int, admin_port: int, *, is_plain: bool) -> None:
        text = SHIPPED.read_text()
        text = text.replace("127.0.0.1:8001", f"127.0.0.1:{door_port}")
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{admin_port}")
        text = text.replace("/var/log/nginx/muster/", f"{self.folder}/")
        text = re.sub(r"/etc/ssl/\S+\.(pem|key);", rf"{self.folder}/tls.\1;", text)
        for port in (self.port, self.admin_port, self._third_port):
            text = re.sub(r"listen (443|80)( ssl http2)?;", f"listen 127.0.0.1:{port}\\2;", text, count=1)
        text = re.sub(r"listen \[::\]:(443|80)( ssl http2)?;", "", text)
        if is_plain:
            text = text.replace(" ssl http2;", ";")
        (self.folder / "muster.conf").write_text(text)
        places = "".join(
            f"{name}_temp_path {self.folder}/{name}; "
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root; " if os.geteuid() == 0 else ""
        self._main.write_text(
            f"{user}worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/main.log;\n"
            f"events {{ worker_connections 1024; }}\n"
            f"http {{ access_log off; {places} include {self.folder}/muster.conf; }}\n"
        )
        _write_certificate(self.folder)


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "px.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, no_password))
