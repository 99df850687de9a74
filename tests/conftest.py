"""What every test can have: PostgreSQL for this run alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from config.postgres import EmbeddedServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer | None]:
    """The embedded server of this run, started when the first test asks for a database.

    None where DATABASE_URL names another server. It flushes nothing to disk; a test that pulls the
    plug starts a server of its own.
    """
    if os.environ.get("DATABASE_URL"):
        yield None
        return
    programs = Path(settings.MUSTER_POSTGRES_BIN) if settings.MUSTER_POSTGRES_BIN else None
    server = EmbeddedServer(
        settings.DATA_DIR, options={"shared_buffers": "64MB"}, durable=False, programs=programs
    )
    with server:
        yield server


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres_server: EmbeddedServer | None) -> None:
    """Have the server running before Django makes its test database."""
