"""Identifiers lead to profiles; two workers never make two profiles of one person."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from audience.columns import batch_cursor
from audience.identity import BadIdentifier, Key, find_or_make, normalise
from audience.instants import instant
from audience.models import Identifier, Profile
from audience.talk import speak
from tests.factories import NOON, make_advertiser, make_profile

pytestmark = pytest.mark.django_db(transaction=True)


def make(*keys, at=NOON, **terms):
    with transaction.atomic(), batch_cursor(connection.connection) as cursor:
        return speak(cursor, find_or_make(keys, instant(at), **terms))


def test_an_identifier_finds_its_profile_again():
    advertiser = make_advertiser()
    key = Key(advertiser.pk, "customer_id", "C-1001")

    assert make(key) == make(key)
    assert Profile.all_advertisers.count() == 1


def test_the_same_value_is_another_person_for_another_advertiser_or_kind():
    one, two = make_advertiser(), make_advertiser()
    keys = [Key(one.pk, "customer_id", "1"), Key(two.pk, "customer_id", "1"), Key(one.pk, "device", "1")]

    assert len(set(make(*keys).values())) == 3


def test_it_makes_nobody_who_may_not_be_made():
    advertiser = make_advertiser()
    profile = make_profile(advertiser, email="jo@example.com")
    known, unknown = Key(advertiser.pk, "email", "jo@example.com"), Key(advertiser.pk, "email", "x@example.com")
    assert make(known, unknown, makes=lambda key: False) == {known: profile.pk.bytes}


def test_last_seen_moves_by_the_hour_and_never_back():
    key = Key(make_advertiser().pk, "customer_id", "C-1")
    for minutes, seen in ((0, 0), (59, 0), (61, 61), (30, 61)):
        make(key, at=NOON + timedelta(minutes=minutes))
        assert Profile.all_advertisers.get().last_seen_at == NOON + timedelta(minutes=seen)
        assert Identifier.all_advertisers.get().last_seen_at == NOON + timedelta(minutes=seen)


def test_workers_that_meet_the_same_new_people_at_once_agree():
    advertiser = make_advertiser()
    keys = [Key(advertiser.pk, "customer_id", str(number)) for number in range(300)]
    start, results = threading.Barrier(4), []

    def worker(order):
        start.wait()
        results.append(make(*order))
        connections.close_all()

    threads = [threading.Thread(target=worker, args=[keys[turn * 7 :] + keys[: turn * 7]]) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(results) == 4
    assert all(result == results[0] for result in results)
    assert Profile.all_advertisers.count() == Identifier.all_advertisers.count() == 300


@pytest.mark.parametrize(
    ("kind", "raw", "stored"),
    [
        ("customer_id", "  C-1001 ", "C-1001"),
        ("email", " Jo.Miller@Example.COM", "jo.miller@example.com"),
        ("phone", "+49 (89) 123-456", "+4989123456"),
        ("phone", "+49 (0)89 123456", "+4989123456"),
        ("phone", "+1 202-555-0143", "+12025550143"),
        ("customer_id", "e\u0301", "é"),
        ("partner:acme", "12abc", "12abc"),
    ],
)
def test_values_are_normalised(kind, raw, stored):
    assert normalise(kind, raw) == stored


def test_a_telephone_number_without_country_code_takes_the_country_that_is_told():
    assert normalise("phone", "089 123456", country="DE") == "+4989123456"
    assert normalise("phone", "+43 1 5880022", country="DE") == "+4315880022"


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("shoe_size", "44"),
        ("customer_id", " "),
        ("customer_id", "x" * 321),
        ("customer_id", "a\nb"),
        ("customer_id", "\ud800"),
        ("email", "jo"),
        ("email", "jo@@example.com"),
        ("phone", "089 123456"),
        ("phone", "+49 1"),
        ("phone", "+49 89 1234567890123456"),
        ("phone", "call me"),
    ],
)
def test_what_can_be_no_identifier_is_refused_with_what_to_write(kind, raw):
    with pytest.raises(BadIdentifier, match=r"\.$"):
        normalise(kind, raw)
