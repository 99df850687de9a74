"""All that Muster had is gone but the proxy's log: out of it comes every fire, once, with its own time."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.faults.book import Book
from tests.faults.conftest import WRITTEN
from tests.faults.database import Database
from tests.faults.door import RealDoor
from tests.faults.ledger import Ledger
from tests.faults.scene import UNLIKE_THE_FIRES, answers
from tests.nginx import Nginx
from tests.running import ROOT, until

pytestmark = pytest.mark.spec("R3")

_TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


@dataclass
class Site:
    """nginx, a door with two workers behind it, its database, and the pixel that is fired at."""

    nginx: Nginx
    door: RealDoor
    database: Database
    target: str
    folder: Path

    def load(self) -> Ledger:
        file = self.folder / f"ledger-{time.time_ns()}"
        return Ledger(self.nginx.url, [self.target], file, connections=16, per_second=300.0)

    def lose(self) -> Book:
        """Let fires be stored, spooled and refused; then lose whatever the door has kept. Return what was told."""
        with self.load() as ledger:
            answers(ledger, 200)
            self.database.crash()
            answers(ledger, 200)
            self.door.kill_worker()
            answers(ledger, 200)
            self.door.kill()
            until(lambda: self.statuses().count("502") > 50, "nginx finds nobody")
        shutil.rmtree(self.folder / "spool")
        self.database.start()
        self.door.start()
        return Book.read(ledger.file)

    def replaying(self, *words: str, **more: str) -> "subprocess.Popen[str]":
        """Start `manage.py replay_access_log`, with more in its environment."""
        command = [sys.executable, str(ROOT / "manage.py"), "replay_access_log", *words]
        environment, pipe = {**self.door.environment, "CRASH_AT": "", **more}, subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)

    def replay(self, *words: str, code: int = 0) -> dict[str, int]:
        """Run it to its end; return its report."""
        return report_of(self.replaying(*(words or (str(self.nginx.log),))), code)

    def manage(self, *words: str) -> str:
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        done = subprocess.run(command, cwd=ROOT, env=self.door.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def statuses(self) -> list[str]:
        return [told["status"] for told in self.logged()]

    def logged(self) -> list[dict[str, str]]:
        """Return the lines of nginx's log that are written to their end."""
        return [json.loads(line) for line in self.nginx.lines() if line.endswith(b"}")]

    def stored(self) -> dict[str, tuple[datetime, str]]:
        """Return the time, to the millisecond, and the outcome of each stored fire, by its number in the ledger."""
        with self.database.connect() as connection:
            rows = connection.execute("SELECT other, received_at, outcome FROM pixels_fire").fetchall()
        found = {
            other: (at.replace(microsecond=at.microsecond // 1000 * 1000), outcome) for other, at, outcome in rows
        }
        assert len(found) == len(rows), "a fire is stored twice"
        return found

    def rows(self) -> dict[str, Any]:
        """Return a fingerprint of all rows of every table."""
        with self.database.connect() as connection:
            tables = [name for (name,) in connection.execute(_TABLES)]
            fingerprint = "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t"
            return {name: connection.execute(fingerprint.format(name)).fetchone() for name in tables}

    def check(self, books: Iterable[Book]) -> None:
        """Hold what is stored against nginx's log and against what clients were told."""
        expected = {number_of(told): (time_of(told), "applied") for told in self.logged()}
        assert self.stored() == expected, "every fire of the log is there, with the log's time"
        with self.database.connect() as connection:
            for book in books:
                book.check(connection)
            assert connection.execute(UNLIKE_THE_FIRES).fetchall() == []
        assert "The books balance" in self.manage("balance")


def report_of(replaying: "subprocess.Popen[str]", code: int = 0) -> dict[str, int]:
    output, errors = replaying.communicate(timeout=120)
    assert replaying.returncode == code, output + errors
    found = re.findall(r"^ *([0-9,]+) (\w+)", output, re.MULTILINE)
    numbers: dict[str, int] = {}
    for number, word in found:
        numbers[word] = numbers.get(word, 0) + int(number.replace(",", ""))
    return {word: number for word, number in numbers.items() if number}


def number_of(told: dict[str, str]) -> str:
    return parse_qs(told["target"].partition("?")[2])["other"][0]


def time_of(told: dict[str, str]) -> datetime:
    seconds, _, milliseconds = told["request"].partition("-")[0].partition(".")
    return datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(milliseconds) * 1000)


def lose_rows(database: Database) -> None:
    """Bring the database back to what it was before the first fire."""
    with database.connect() as connection:
        connection.execute(f"TRUNCATE {', '.join(WRITTEN)} CASCADE")


@pytest.fixture
def site(place: tuple[Database, str], tmp_path: Path) -> Iterator[Site]:
    database, target = place
    lose_rows(database)
    proxied = {"MUSTER_TRUSTED_PROXIES": "127.0.0.1/32", "MUSTER_SPOOL_DIR": str(tmp_path / "spool")}
    door = RealDoor(database.url, tmp_path, workers=2, **proxied)
    with door, Nginx(tmp_path, door_port=door.port) as nginx:
        yield Site(nginx, door, database, target, tmp_path)


def test_replay_access_log(site):
    book = site.lose()
    logged, stored = site.logged(), site.stored()
    assert book.answered - stored.keys(), "fires are lost that were acknowledged"
    lost = len(logged) - len(stored)
    known = {"lines": len(logged), "duplicates": len(stored)}

    before = site.rows()
    assert site.replay("--dry-run", str(site.nginx.log)) == known | {"applied": lost}
    assert site.rows() == before, "a dry run changes nothing"

    assert site.replay() == known | {"applied": lost}
    site.check([book])

    before = site.rows()
    assert site.replay() == {"lines": len(logged), "duplicates": len(logged)}
    assert site.rows() == before, "the second replay changes no row"


def test_replay_access_log_twice_at_once_beside_live_traffic(site):
    book = site.lose()
    lost = len(site.logged()) - len(site.stored())
    assert lost > 100
    backwards = site.folder / "backwards.log"
    backwards.write_bytes(b"\n".join(reversed(site.nginx.lines())))
    with site.load() as ledger:
        answers(ledger, 100)
        together = [site.replaying(str(site.nginx.log)), site.replaying(str(backwards))]
        reports = [report_of(one) for one in together]
        answers(ledger, 100)
    assert sum(report.get("applied", 0) for report in reports) == lost, "each of the lost ones was done once"
    assert {word for report in reports for word in report} <= {"lines", "applied", "duplicates"}
    site.check([book, Book.read(ledger.file)])
    before = site.rows()
    assert site.replay() == {"lines": len(site.logged()), "duplicates": len(site.logged())}
    assert site.rows() == before


def test_replay_access_log_can_be_run_again_after_whatever_broke_it_off(site):
    with site.load() as ledger:
        answers(ledger, 50)
    site.database.crash()
    site.door.kill()
    away = site.replaying(str(site.nginx.log))
    _, errors = away.communicate(timeout=60)
    assert (away.returncode, "Traceback" in errors) == (1, False)
    assert "The database is away. Nothing is lost" in errors

    site.database.start()
    lose_rows(site.database)
    killed = site.replaying(str(site.nginx.log), CRASH_AT="replay.after_commit")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(site.stored()) == len(site.logged()), "it dies after its first commit"

    missing, fires = str(site.folder / "missing.log"), len(site.logged())
    assert site.replay(missing, str(site.nginx.log), code=1) == {"lines": fires, "duplicates": fires}
    site.check([Book.read(ledger.file)])


def test_replay_access_log_knows_a_fire_whose_answer_was_lost(site):
    """The worker dies between the commit and the answer: nginx has no more than the request id."""
    site.door.kill()
    site.door.environment["CRASH_AT"] = "batch.after_commit"
    site.door.start()
    answer, _ = site.nginx.fire(f"{site.target}?other=last")
    site.door.kill()
    (told,) = site.logged()
    assert (answer.status, told["status"], told["fire"]) == (502, "502", "")
    assert site.stored() == {"last": (time_of(told), "applied")}
    before = site.rows()
    assert site.replay() == {"lines": 1, "duplicates": 1}
    assert site.rows() == before


def test_replay_access_log_suppresses_who_was_not_asked(site):
    """Lines without their consent fields leave a count, and nothing of the person; others are done beside them."""
    site.door.kill()
    for number in range(30):
        site.nginx.fire(f"{site.target}?other=mine.{number}", Referer="https://shop.example/private")
    told = site.logged()
    silent = [{name: value for name, value in one.items() if name not in ("gpc", "opt_out")} for one in told[10:]]
    log = site.folder / "silent.log"
    log.write_text("".join(json.dumps(one) + "\n" for one in told[:10] + silent) + "no line of ours\n")
    unread = {"lines": 31, "malformed": 1}
    assert site.replay(str(log)) == unread | {"applied": 10, "suppressed": 20}
    assert site.replay(str(log)) == unread | {"duplicates": 30}
    with site.database.connect() as connection:
        of_suppressed = "SELECT DISTINCT to_jsonb(f) - %s::text[] FROM pixels_fire f WHERE outcome = 'suppressed'"
        telling_nothing = ["id", "received_at", "advertiser_id", "pixel_id", "outcome"]
        ((kept,),) = connection.execute(of_suppressed, [telling_nothing]).fetchall()
        assert connection.execute("SELECT count(*) FROM audience_profile").fetchone() == (10,)
    assert kept.pop("reason") == "no_signal"
    assert not any(kept.values()), "no page, no browser, no profile, no action"
    assert "The books balance" in site.manage("balance")
