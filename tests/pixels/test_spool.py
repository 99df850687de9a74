"""The spool of a worker: what is kept is on the disk, whole and in order, and what is damaged costs itself alone."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.identity import Key
from audience.ids import uuid7
from audience.instants import instant
from pixels import records, spool
from pixels.facts import Conversion, Fire, FromServer, Withdrawal
from pixels.messages.arrivals import Arrival
from pixels.reasons import Note, Reason
from pixels.spool import Spool, SpoolFull
from segments.membership import Change
from segments.models import Cause
from tests.factories import NOON

MANY = 1 << 20


def fire(number=0, **fields) -> Fire:
    change = Change("add", 7, 1, lifetime=3_600_000_000, value=number)
    filled = {"changes": (change,), "other": str(number)} | fields
    return Fire(uuid7().bytes, instant(NOON) + number, 5, 9, Key(5, "browser", "ab" * 16), **filled)


def numbers(fires) -> list[int]:
    return [int(fire.other) for fire in fires]


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*/*.facts")))


texts = st.text(st.characters(), max_size=40)


@given(
    st.builds(
        Fire,
        id=st.binary(min_size=16, max_size=16),
        received_at=st.integers(-(2**62), 2**62),
        advertiser_id=st.just(5),
        pixel_id=st.none() | st.integers(1, 2**62),
        browser=st.none() | st.builds(Key, st.just(5), st.sampled_from(["browser", "email"]), texts),
        changes=st.lists(
            st.builds(
                Change,
                do=st.sampled_from(["add", "remove"]),
                segment_id=st.integers(1, 2**62),
                version=st.integers(1, 9),
                cause=st.sampled_from(Cause),
                lifetime=st.integers(0, 2**62),
                value=st.none() | st.integers(0, 2**31),
            ),
            max_size=3,
        ).map(tuple),
        reason=st.none() | st.sampled_from(Reason),
        notes=st.lists(st.sampled_from(Note), max_size=3).map(tuple),
        actions=texts,
        eid=st.none() | texts,
        other=texts,
        page_host=texts,
        page_path=texts,
        browser_name=texts,
        device=texts,
        partner_ids=st.lists(st.builds(Key, st.just(5), st.just("partner:acme"), texts), max_size=3).map(tuple),
        id_syncs=st.none(),
        server=st.none()
        | st.builds(FromServer, st.integers(-(2**62), 2**62), st.none() | st.binary(min_size=16, max_size=16)),
        conversion=st.none() | st.builds(Conversion, texts, texts, texts, texts),
    )
)
def test_a_fire_comes_back_as_it_was(one):
    found = records.read(records.line_of(1, one))
    assert (found.facts, found.lost) == ([one], 0)


def test_a_no_and_a_suppressed_message_come_back_as_they_were():
    keys = (Key(5, "browser", "ab" * 16), Key(6, "browser", "cd" * 16))
    suppressed = Arrival(uuid7().bytes, instant(NOON), 5, 7, None, suppressed=Reason.OPTED_OUT)
    facts = [
        Withdrawal(instant(NOON), keys),
        Withdrawal(instant(NOON), keys, fire(reason=Reason.OPTED_OUT)._replace(browser=None)),
        suppressed,
    ]
    content = b"".join(records.line_of(number, fact) for number, fact in enumerate(facts, 1))
    assert records.read(content).facts == facts


@pytest.mark.spec("R2")
def test_spool_damage_at_the_end():
    """Cut at every byte of its last record, a file gives all others."""
    lines = [records.line_of(number, fire(number)) for number in (1, 2, 3)]
    whole, last = b"".join(lines), lines[-1]
    for cut in range(1, len(last) + 1):
        found = records.read(whole[: len(whole) - cut])
        # Without its line feed alone it is still whole.
        assert numbers(found.facts) == ([1, 2, 3] if cut == 1 else [1, 2])
        assert (found.damaged, found.lost) == ([], 0)


@pytest.mark.spec("R2")
def test_spool_damage_in_the_middle():
    """Whichever byte of a record is flipped, it and at most its neighbour are lost, and their number is known."""
    lines = [records.line_of(number, fire(number)) for number in (1, 2, 3, 4)]
    start, length = len(lines[0]), len(lines[1])
    for place in range(start, start + length):
        flipped = bytearray(b"".join(lines))
        flipped[place] ^= 0x15
        found = records.read(bytes(flipped))
        is_line_feed = place == start + length - 1
        assert numbers(found.facts) == ([1, 4] if is_line_feed else [1, 3, 4])
        assert found.lost == (2 if is_line_feed else 1)
        assert found.damaged


def test_facts_lie_on_the_disk_in_order_and_files_go_when_they_are_done(tmp_path):
    kept = Spool(tmp_path, most_bytes=MANY)
    assert (kept.held_bytes, kept.oldest(), kept.oldest_seconds) == (0, None, 0)
    kept.append([fire(1), fire(2)])
    kept.append([fire(3)])
    assert numbers(records.read(content(tmp_path)).facts) == [1, 2, 3]
    assert spool.bytes_on_disk(tmp_path) == kept.held_bytes > 0

    first = kept.oldest()
    kept.append([fire(4)])
    assert kept.oldest() == first
    assert numbers(records.read(first.read_bytes()).facts) == [1, 2, 3], "it is not written to any more"
    kept.remove(first)
    second = kept.oldest()
    assert numbers(records.read(second.read_bytes()).facts) == [4]
    kept.remove(second)
    assert (kept.oldest(), kept.held_bytes, kept.oldest_seconds) == (None, 0, 0)
    kept.close()
    assert list(tmp_path.iterdir()) == []


def test_files_stay_small(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "FILE_BYTES", 2_000)
    kept = Spool(tmp_path, most_bytes=MANY)
    for number in range(50):
        kept.append([fire(number)])
    files = sorted(kept.folder.glob("*.facts"))
    assert len(files) > 4
    assert numbers(one for path in files for one in records.read(path.read_bytes()).facts) == list(range(50))
    assert all(records.read(path.read_bytes()).lost == 0 for path in files)


@pytest.mark.spec("R12")
def test_a_full_spool_takes_all_of_a_batch_or_none(tmp_path):
    kept = Spool(tmp_path, most_bytes=2_000)
    kept.append([fire(1)])
    with pytest.raises(SpoolFull):
        kept.append([fire(number) for number in range(100)])
    kept.append([fire(2)])
    assert numbers(records.read(content(tmp_path)).facts) == [1, 2]


@pytest.mark.spec("R12")
def test_a_short_write_is_cut_back_to_the_last_whole_record(tmp_path):
    """The disk is full in the middle of a record: it is refused, and what was there before stays readable."""
    kept = Spool(tmp_path, most_bytes=MANY)
    kept.append([fire(1)])
    with file_limit(kept.held_bytes + 50), pytest.raises(OSError, match="File too large"):
        kept.append([fire(2)])
    kept.append([fire(3)])
    assert numbers(records.read(content(tmp_path)).facts) == [1, 3]


@contextmanager
def file_limit(most_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.spec("R1")
def test_a_file_whose_fsync_failed_is_never_trusted_again(tmp_path, monkeypatch):
    kept = Spool(tmp_path, most_bytes=MANY)
    kept.append([fire(1)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _fail)
        for number in (2, 3):
            with pytest.raises(OSError, match="disk"):
                kept.append([fire(number)])
    kept.append([fire(4)])
    assert numbers(records.read(content(tmp_path)).facts) == [1, 4]
    assert len([path for path in kept.folder.glob("*.facts") if path.stat().st_size]) == 2


def _fail(_: int) -> None:
    raise OSError(5, "The disk is broken")


@pytest.mark.spec("R2")
def test_a_spool_is_taken_over_when_its_process_is_dead_and_by_one_process_only(tmp_path):
    alive = Spool(tmp_path, most_bytes=MANY)
    alive.append([fire(1)])
    assert list(spool.take_over(tmp_path)) == []

    alive.close()  # as the kernel does for a process that is killed
    (left,) = spool.take_over(tmp_path)
    assert list(spool.take_over(tmp_path)) == [], "somebody has it"
    (file,) = left.files()
    assert numbers(records.read(file.read_bytes()).facts) == [1]
    left.remove(file)
    left.close()
    assert list(tmp_path.iterdir()) == []


def test_lines_that_cannot_be_read_are_kept_for_a_person(tmp_path):
    spool.set_aside(tmp_path, tmp_path / "0193" / "00000001.facts", [b"one", b"two"])
    assert (tmp_path / "damaged" / "0193-00000001.lines").read_bytes() == b"one\ntwo\n"
    assert spool.bytes_on_disk(tmp_path) == 0, "nobody waits for them"
    assert list(spool.take_over(tmp_path)) == []
    assert spool.bytes_on_disk(tmp_path / "nowhere") == 0
