"""A scene for each test: an advertiser, folders of its own, loopback allowed where a test asks for a server."""

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from tests.exports.scene import Scene, make_scene
from tests.exports.servers import PasswordServer, Sshd


@pytest.fixture
def scene(transactional_db: None, tmp_path: Path, settings: Settings) -> Scene:
    """Rows are committed here: leases and workers look at them from connections of their own."""
    scene = make_scene(tmp_path)
    settings.EXPORT_FOLDERS = {"test": scene.folder}
    settings.EXPORT_RUN_DIR = scene.run_folder
    return scene


@pytest.fixture
def allow_port(settings: Settings) -> Callable[[int], None]:
    """Let destinations lead to a port of this machine."""
    settings.DELIVERY_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.DELIVERY_ALLOWED_PORTS = []
    return settings.DELIVERY_ALLOWED_PORTS.append


@pytest.fixture
def sshd(tmp_path: Path, allow_port: Callable[[int], None]) -> Iterator[Sshd]:
    with Sshd(tmp_path / "sshd") as server:
        allow_port(server.port)
        yield server


@pytest.fixture
def password_server(tmp_path: Path, allow_port: Callable[[int], None]) -> Iterator[PasswordServer]:
    with PasswordServer(tmp_path / "password", "correct horse") as server:
        allow_port(server.port)
        yield server
