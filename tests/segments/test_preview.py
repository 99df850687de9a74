"""How many a rule would find: exactly where there are few, else by a random part, with the range that it leaves."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from audience.models import Advertiser, Consent
from audience.tenancy import acting_for
from segments.estimates import Estimate
from segments.preview import count_exactly, preview
from segments.rules.timeline import Surroundings
from segments.sample import sample_of
from segments.statements import TooSlow, reading_for
from tests.factories import make_advertiser, make_profile
from tests.segments.asked import rule_of, viewed

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
VIEWED = {"event": "view", "window": {"within": "7d"}}
BOUGHT = {"event": "buy"}


@pytest.fixture
def advertiser() -> Advertiser:
    return make_advertiser()


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (Estimate(200, 20_000, 1_240_000), "about 12,400 (10,800 to 14,200)"),
        (Estimate(0, 20_000, 1_240_000), "at most 238"),
        (Estimate(20_000, 20_000, 1_240_000), "about 1,240,000 (1,240,000 to 1,240,000)"),
        (Estimate(1_234, 20_000, 20_000), "1,234"),
        (Estimate(0, 0, 0), "0"),
    ],
)
def test_a_number_is_said_with_its_range_to_three_figures(estimate: Estimate, said: str) -> None:
    assert str(estimate) == said


def test_each_condition_says_how_many_it_finds_and_how_many_there_were_without_it(advertiser: Advertiser) -> None:
    both, viewer, buyer, _ = (make_profile(advertiser) for _ in range(4))
    viewed(both, DAY)
    viewed(viewer, DAY)
    viewed(both, DAY, name="buy")
    viewed(buyer, DAY, name="buy")

    asked = rule_of({"all_of": [VIEWED, {"not": BOUGHT}]})
    found = preview(asked, Surroundings(), advertiser.pk)

    assert found.found == Estimate(1, 4, 4)
    assert found.examples == (viewer.pk,)
    numbers = {part.node.path: (part.alone.hits, part.without and part.without.hits) for part in found.parts}
    assert numbers == {
        ("rule",): (1, None),
        ("rule", "all_of", 0): (2, 2),
        ("rule", "all_of", 1): (2, 2),
        ("rule", "all_of", 1, "not"): (2, 2),
    }


def test_what_time_alone_brings_within_a_day_is_told(advertiser: Advertiser) -> None:
    soon, later = make_profile(advertiser), make_profile(advertiser)
    viewed(soon, 7 * DAY - HOUR)
    viewed(later, DAY)

    assert preview(rule_of(VIEWED), Surroundings(), advertiser.pk).leaves.hits == 1
    assert preview(rule_of(VIEWED), Surroundings(), advertiser.pk).joins.hits == 0
    assert preview(rule_of({"not": VIEWED}), Surroundings(), advertiser.pk).joins.hits == 1


def test_who_comes_and_goes_twice_in_a_day_is_one_of_those_who_do(advertiser: Advertiser) -> None:
    make_profile(advertiser)
    hours = {"any_of": [{"time": {"from": f"{hour:02}:00", "to": f"{hour:02}:30"}} for hour in range(24)]}
    found = preview(rule_of(hours), Surroundings(), advertiser.pk)
    assert (found.joins.hits, found.leaves.hits) == (1, 1)


def test_shares_are_of_those_who_were_found(advertiser: Advertiser) -> None:
    known, unknown = make_profile(advertiser, email="jo@example.com"), make_profile(advertiser)
    make_profile(advertiser, phone="+4915112345678")
    viewed(known, DAY)
    viewed(unknown, DAY)
    consented(advertiser, known.pk)

    found = preview(rule_of(VIEWED), Surroundings(), advertiser.pk)

    assert found.known == {"email": 0.5, "phone": 0, "customer_id": 0}
    assert found.consents == {"advertising": 0.5}


def consented(advertiser: Advertiser, profile_id: UUID) -> None:
    with acting_for(advertiser.pk):
        Consent.objects.create(
            profile_id=profile_id, purpose="advertising", state="granted", since=timezone.now() - HOUR
        )


def test_of_many_people_a_fixed_random_part_is_asked(advertiser: Advertiser, settings: Any) -> None:
    settings.MUSTER_PREVIEW_PEOPLE = 10
    profiles = [make_profile(advertiser) for _ in range(40)]
    for profile in profiles:
        viewed(profile, DAY)

    found = preview(rule_of(VIEWED), Surroundings(), advertiser.pk)

    assert found.found == Estimate(10, 10, 40)
    assert not found.is_cut_short
    sample = sample_of(advertiser.pk, "profile", 5)
    assert set(sample.ids) < {profile.pk for profile in profiles}
    assert sample_of(advertiser.pk, "profile", 5) == sample
    assert count_exactly(rule_of(VIEWED), Surroundings(), advertiser.pk) == 40


def test_another_advertisers_people_are_not_counted(advertiser: Advertiser) -> None:
    other = make_advertiser()
    viewed(make_profile(other, email="jo@example.com"), DAY)
    mine = make_profile(advertiser)

    assert preview(rule_of(VIEWED), Surroundings(), advertiser.pk).found == Estimate(0, 1, 1)
    everybody = preview(rule_of({"not": VIEWED}), Surroundings(), advertiser.pk)
    assert everybody.examples == (mine.pk,)
    assert count_exactly(rule_of(VIEWED), Surroundings(), advertiser.pk) == 0
    assert count_exactly(rule_of(VIEWED), Surroundings(), other.pk) == 1


def test_nobody_is_no_error(advertiser: Advertiser) -> None:
    assert str(preview(rule_of(VIEWED), Surroundings(), advertiser.pk).found) == "0"
    assert count_exactly(rule_of(VIEWED), Surroundings(), advertiser.pk) == 0


def test_what_takes_too_long_is_stopped_and_leaves_the_connection_usable(advertiser: Advertiser) -> None:
    with pytest.raises(TooSlow), reading_for(0.05) as cursor:
        cursor.execute("SELECT pg_sleep(5)")
    with reading_for(1) as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1s",)


# Not within a transaction of the test's: its savepoint would have no time either.
@pytest.mark.django_db(transaction=True)
def test_a_preview_that_has_no_time_says_so(advertiser: Advertiser, settings: Any) -> None:
    settings.MUSTER_PREVIEW_SECONDS = 0.0
    for _ in range(600):
        make_profile(advertiser)
    with pytest.raises(TooSlow):
        preview(
            rule_of({"all_of": [{"situation": "place.city", "equals": str(n)} for n in range(200)]}),
            Surroundings(),
            advertiser.pk,
        )
