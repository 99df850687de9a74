"""The lock files: hashes, floors, and no registry (safety.md S4)."""

import re

import pytest
from packaging.version import Version

from tests.running import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock")
FLOORS = {
    "django": "5.2.19",
    "djangorestframework": "3.18.3",
    "celery": "5.7.0",
    "kombu": "5.7.0",
    "asyncssh": "2.24.1",
    "granian": "2.8.7",
    "psycopg": "3.3.9",
    "cryptography": "50.0.2",
}


def locked(name: str) -> dict[str, tuple[str, int]]:
    """Return each package of a lock file with its version and the number of its hashes."""
    text = (ROOT / name).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    found = {}
    for entry in entries:
        package, _, version = re.match(r"([a-z0-9._-]+)(\[[^]]*\])?==([^\s;\\]+)", entry).groups()
        found[package] = (version, entry.count("--hash=sha256:"))
    return found


@pytest.mark.spec("S4")
@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_its_hashes(name):
    assert all(hashes for _, hashes in locked(name).values())


@pytest.mark.spec("S4")
@pytest.mark.parametrize("package", FLOORS)
def test_no_package_is_older_than_its_floor(package):
    version, _ = locked("requirements.lock")[package]
    assert Version(version) >= Version(FLOORS[package])
    assert Version(version).major == 5 or package != "django"


def test_what_develops_contains_what_runs():
    runs, develops = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: version for name, (version, _) in runs.items()}.items() <= {
        name: version for name, (version, _) in develops.items()
    }.items()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_names_no_registry(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
