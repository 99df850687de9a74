"""What every test can have: PostgreSQL for this run alone, and a Muster that runs."""

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import TransactionTestCase
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker

from config.postgres import EmbeddedServer
from tests.emptying import empty_tables
from tests.running import ROOT, LiveMuster, own_folder

pytest_plugins = ["tests.sharing"]

METRICS_TOKEN = "a-token-of-at-least-thirty-two-letters"
INSTALL = re.compile(r"is not installed|apt(-get)? install")  # what such a skip tells its reader
NEED_ALL_PROGRAMS = bool(os.environ.get("MUSTER_TESTS_NEED_ALL_PROGRAMS"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that was skipped because a program is missing, where all programs must be there."""
    report = yield
    if report.skipped and NEED_ALL_PROGRAMS and INSTALL.search(str(report.longrepr)):
        report.outcome = "failed"
        report.longrepr = f"A program that this test needs is missing: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer | None]:
    """The embedded server of this process, started when its first test asks for a database.

    None where DATABASE_URL names another server. It flushes nothing to disk; a test that pulls the
    plug starts a server of its own.
    """
    if os.environ.get("DATABASE_URL"):
        yield None
        return
    programs = Path(settings.MUSTER_POSTGRES_BIN) if settings.MUSTER_POSTGRES_BIN else None
    options = {"shared_buffers": "64MB"}
    with EmbeddedServer(settings.DATA_DIR, options=options, durable=False, programs=programs) as server:
        yield server


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    postgres_server: EmbeddedServer | None, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """Have the server running before Django makes its test database, one for each process."""


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Make the test database whichever tests are chosen.

    pytest-django makes it only where a chosen test has its mark. Tests of the door commit for themselves and empty
    the tables afterwards: chosen alone, they would have done so in the database that DATABASE_URL names.
    """
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases=["default"], serialized_aliases=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty_tables())
        yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def live_muster() -> Iterator[LiveMuster]:
    """A whole Muster for browser and story tests: real processes, a database of its own, durable.

    It is shared by all tests of the run: make an advertiser of your own.
    """
    muster = LiveMuster(own_folder("live"), environment={"MUSTER_METRICS_TOKEN": METRICS_TOKEN})
    try:
        yield muster.start()
    finally:
        muster.close()


@pytest.fixture(scope="session")
def retail_file() -> Path:
    """The Online Retail data set, which is not part of Muster."""
    path = Path(os.environ.get("MUSTER_RETAIL_FILE", ROOT.parent / "shared/data/online_retail.csv.gz"))
    if not path.exists():
        pytest.skip("The Online Retail data is not here: set MUSTER_RETAIL_FILE to online_retail.csv.gz.")
    return path


@pytest.fixture
def live_models(live_muster: LiveMuster, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The models of this test are those of `live_muster`."""
    with django_db_blocker.unblock(), live_muster.orm():
        yield
