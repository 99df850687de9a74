"""The books balance under traffic, and whatever is changed by hand is found and named."""

import io
import json
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from audience.columns import batch_cursor
from audience.ids import uuid7
from audience.instants import instant
from audience.talk import speak
from audience.tenancy import acting_for
from pixels.balance import balance
from pixels.counts import merge_deltas
from pixels.facts import Fire
from pixels.models import FireDelta, FireHour
from pixels.reasons import Outcome, Reason
from pixels.spool import Spool
from pixels.stored import Stored
from pixels.writing import put_count, put_fires
from segments import recount
from segments.members import Ask, change_members
from tests.factories import make_advertiser, make_pixel, make_segment
from tests.faults.book import Book
from tests.faults.ledger import Ledger
from tests.pixels.shop import Shop
from tests.running import until

HOUR = timedelta(hours=1)


@pytest.fixture
def noon():
    """Noon of yesterday: hours around it are of one day."""
    return timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture
def pixel(transactional_db):
    return make_pixel(make_advertiser(name="Shop"))


def store(pixel, at, outcome=Outcome.APPLIED, reason=None, *, has_row=True):
    """Write a fire and its count, as a batch does."""
    owner = (pixel.advertiser_id, pixel.pk) if pixel else (None, None)
    entry = Stored(Fire(uuid7().bytes, instant(at), *owner, None), outcome, reason)
    connection.ensure_connection()
    with batch_cursor(connection.connection) as cursor:
        speak(cursor, put_fires([entry]) if has_row else put_count(entry))


def execute(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.rowcount


def told(**options):
    """Return what the command says, as text or as JSON."""
    output = io.StringIO()
    call_command("balance", stdout=output, **options)
    return output.getvalue()


def found():
    return [str(one) for one in balance().differences]


@pytest.mark.spec("R4")
def test_each_day_of_an_advertiser_shows_how_its_fires_ended(pixel, noon):
    for outcome, reason in [
        (Outcome.APPLIED, None),
        (Outcome.APPLIED, None),
        (Outcome.DUPLICATE, None),
        (Outcome.REJECTED, Reason.BOT),
        (Outcome.SUPPRESSED, Reason.GPC),
    ]:
        store(pixel, noon, outcome, reason)
    merge_deltas()
    store(pixel, noon + HOUR)
    store(pixel, noon + 13 * HOUR)
    store(None, noon, Outcome.REJECTED, Reason.UNKNOWN_PIXEL)

    books = json.loads(told(json=True))
    assert books["differences"] == []
    nobody, yesterday, today = books["lines"]
    assert nobody["advertiser"] is None
    assert nobody["rejected"] == {"unknown_pixel": 1}
    assert yesterday == {
        "advertiser": pixel.advertiser_id,
        "name": "Shop",
        "source": "pixel",
        "day": noon.date().isoformat(),
        "received": 6,
        "applied": 3,
        "duplicate": 1,
        "rejected": {"bot": 1},
        "suppressed": {"gpc": 1},
        "pending": 0,
    }
    assert (today["day"], today["received"]) == ((noon.date() + timedelta(days=1)).isoformat(), 1)
    table = told()
    assert "1 (bot 1)" in table
    assert "The books balance" in table


@pytest.mark.spec("R4")
def test_what_waits_on_disk_is_received_and_pending(pixel, noon, tmp_path, settings):
    settings.MUSTER_SPOOL_DIR = tmp_path
    store(pixel, noon)
    fires = [Fire(uuid7().bytes, instant(noon), pixel.advertiser_id, pixel.pk, None) for _ in range(7)]
    spool = Spool(tmp_path, most_bytes=1_000_000)
    spool.append(fires)
    (line,) = json.loads(told(json=True))["lines"]
    assert (line["received"], line["applied"], line["pending"]) == (8, 1, 7)
    spool.remove(spool.oldest())
    (line,) = json.loads(told(json=True))["lines"]
    assert (line["received"], line["pending"]) == (1, 0)
    spool.close()


@pytest.mark.spec("R4")
def test_a_deleted_fire_is_reported_with_its_place(pixel, noon):
    for _ in range(2):
        store(pixel, noon)
    assert execute("DELETE FROM pixels_fire WHERE id = (SELECT id FROM pixels_fire LIMIT 1)") == 1

    with pytest.raises(CommandError) as error:
        told()
    place = f"pixel {pixel.pk} of advertiser {pixel.advertiser_id}, {noon:%Y-%m-%d} 12:00 UTC, applied"
    assert f"fires of {place}: 2 in the books, 1 counted" in str(error.value)


@pytest.mark.spec("R4")
@pytest.mark.parametrize("is_merged", [False, True])
def test_a_changed_count_is_reported_with_its_place(pixel, noon, is_merged):
    store(pixel, noon, Outcome.SUPPRESSED, Reason.GPC)
    if is_merged:
        merge_deltas()
    assert (FireHour if is_merged else FireDelta).objects.update(fires=5) == 1

    (said,) = found()
    assert f"pixel {pixel.pk} of" in said
    assert said.endswith("suppressed (gpc): 5 in the books, 1 counted")


@pytest.mark.spec("R4")
def test_a_fire_under_the_wrong_outcome_is_two_differences(pixel, noon):
    store(pixel, noon)
    execute("UPDATE pixels_fire SET outcome = 'suppressed', reason = 'gpc'")
    assert len(found()) == 2


@pytest.mark.spec("R4")
def test_a_count_of_no_known_end_is_reported(pixel, noon):
    store(pixel, noon)
    FireDelta.objects.update(outcome="lost")
    assert any("with an outcome and a reason that there are: 1 in the books, 0 counted" in one for one in found())


@pytest.mark.spec("R4")
def test_fires_may_be_counted_without_a_row_where_none_can_be_kept_and_never_the_other_way(pixel, noon):
    store(pixel, noon, Outcome.REJECTED, Reason.BAD_ENCODING, has_row=False)
    store(pixel, noon, Outcome.DUPLICATE, has_row=False)
    assert found() == []
    FireDelta.objects.all().delete()
    store(pixel, noon, Outcome.DUPLICATE)
    FireDelta.objects.all().delete()
    assert found() == [
        f"fires of pixel {pixel.pk} of advertiser {pixel.advertiser_id}, {noon:%Y-%m-%d} 12:00 UTC, duplicate: "
        "0 in the books, 1 counted"
    ]


@pytest.mark.spec("R4")
def test_fires_under_a_pixel_that_is_gone_or_of_another_advertiser_are_reported(pixel, noon):
    store(pixel, noon)
    other = make_pixel(make_advertiser())
    execute("UPDATE pixels_fire SET pixel_id = %s", other.pk)
    execute("UPDATE pixels_firedelta SET pixel_id = %s, advertiser_id = %s", other.pk, other.advertiser_id)
    stray = f"fires of advertiser {pixel.advertiser_id} under pixel {other.pk}"
    assert any(one.startswith(stray) for one in found())


@pytest.mark.spec("R4")
def test_counts_whose_rows_are_older_than_the_retention_are_left_out(pixel, noon):
    store(pixel, noon - timedelta(days=40))
    execute("DELETE FROM pixels_fire")
    assert found() == []
    assert balance().lines == []
    (line,) = balance(days=60).lines
    assert line.received == 1


@pytest.mark.spec("R4")
def test_what_is_committed_meanwhile_is_no_difference(pixel, monkeypatch):
    segment = make_segment(pixel.advertiser)
    sizes = recount.sizes

    def join() -> None:
        with acting_for(segment.advertiser_id):
            change_members(segment, [Ask("add", "customer_id", "late")], at=timezone.now())
        connection.close()

    def sizes_and_a_join(*args):
        before = sizes(*args)
        thread = threading.Thread(target=join)
        thread.start()
        thread.join()
        return before

    monkeypatch.setattr(recount, "sizes", sizes_and_a_join)
    assert found() == []
    assert sizes([segment], timezone.now()) == {segment.pk: 1}


@pytest.mark.spec("R4")
def test_balance(listener, tmp_path):
    """Exit 0 while mixed traffic comes through a real door, and the ledger client agrees; then a row is missing."""
    shop = Shop(listener)
    segments = f"/seg?add={shop.cart.pk},{shop.vip.pk}"
    targets = [
        *(f"/p/{shop.pixel.public_key}.gif", f"/p/{shop.pixel.public_key}.js?eid=one", segments),
        *(f"/seg?remove={shop.cart.pk}", f"{segments}&value=99999999999", "/seg?add=0", "/p/nobody.gif"),
        f"/seg?add={shop.cart.pk}&pg=%FF",
    ]
    ledger = Ledger(f"http://127.0.0.1:{listener.port}", targets, tmp_path / "ledger", connections=8)
    with ledger:
        until(lambda: ledger.answers > 100, "the first fires are answered", timeout_seconds=10)
        for _ in range(10):
            before = ledger.answers
            told()
            merge_deltas()
            until(lambda least=before + 50: ledger.answers > least, "more fires came", timeout_seconds=10)
    assert "The books balance" in told()
    books = balance()
    assert len(Book.read(ledger.file).answered) == sum(line.received for line in books.lines)
    (line,) = (line for line in books.lines if line.advertiser_id == shop.id)
    assert min(line.applied, line.duplicate, *line.rejected.values()) > 0

    # One who is in: the row of somebody who was removed counts nowhere.
    execute(
        "DELETE FROM segments_membership WHERE ctid ="
        " (SELECT ctid FROM segments_membership WHERE starts_at <= now() AND now() < expires_at LIMIT 1)"
    )
    with pytest.raises(CommandError, match=rf"size of segment (?:{shop.cart.pk}|{shop.vip.pk}) of advertiser"):
        told()
