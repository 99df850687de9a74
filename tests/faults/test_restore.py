"""A dump goes into another cluster of PostgreSQL, as docs/operations.md has it, and what follows is not lost."""

import subprocess
from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from config.postgres import wheel_programs
from tests.callers import make_caller
from tests.factories import make_advertiser, make_segment
from tests.faults.database import Database
from tests.running import own_folder
from tests.segments.test_transitions_api import Reader, names, put_in


@pytest.fixture
def old() -> Iterator[Database]:
    database = Database(own_folder("restore-old")).start().migrate()
    yield database
    database.stop()


@pytest.fixture
def new() -> Iterator[Database]:
    database = Database(own_folder("restore-new")).start()
    yield database
    database.stop()


def restore(old: Database, new: Database) -> None:
    programs, dump = old.server.programs or wheel_programs(), own_folder("restore-dump") / "muster.dump"
    for program, *words in (
        ("pg_dump", "--format=custom", "--exclude-schema=pgmq", f"--file={dump}", old.url),
        ("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={new.url}", str(dump)),
    ):
        subprocess.run([str(programs / program), *words], check=True)
    new.migrate()


def test_a_cursor_that_somebody_has_kept_reads_on_after_a_restore(
    old: Database, new: Database, django_db_blocker: DjangoDbBlocker
) -> None:
    with django_db_blocker.unblock():
        with old.orm():
            caller = make_caller(make_advertiser())
            segment = make_segment(caller.row.advertiser, "cart")
            put_in(caller, segment, "C-1")
            reader = Reader(caller, segment)
            with old.connect() as busy:  # the cluster has done more than the next one will have for a while
                for _ in range(5_000):
                    busy.execute("SELECT pg_current_xact_id()")
            put_in(caller, segment, "C-2")
            assert names(reader.go_on()) == ["C-1", "C-2"]
        restore(old, new)
        with new.orm():
            assert reader.go_on() == []
            put_in(caller, segment, "C-3")
            assert names(reader.go_on()) == ["C-3"]
            assert names(Reader(caller, segment).go_on()) == ["C-1", "C-2", "C-3"]
