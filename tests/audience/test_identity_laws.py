"""Messages in any order, and more than once, end in the same people, events, attributes, touches and accounts.

Two things depend on the order by design: what a shared device did before it went over, which stands apart here, and
through which values an attribute was seen to go (`audience.attribute_changes`), which is left out.
"""

import random
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audience import attribute_changes
from audience.models import AccountMember, Attribute, Profile, Touch
from audience.tenancy import acting_for
from segments.members import Ask, change_members
from segments.models import Membership
from tests.audience.messages import Sender, events_by_person, names_of, people, record_all
from tests.factories import NOON, make_advertiser, make_segment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("R5")]
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# A small town: each browser belongs to one customer, each address, too.
BROWSERS = {"browser:1": "C1", "browser:2": "C1", "browser:3": "C2", "device:a:4": "C2", "browser:5": None}
ADDRESSES = {"email:jo@example.com": "C1", "phone:+4989123456": "C1", "email:al@example.com": "C2"}


@st.composite
def tellings(draw):
    """What one message says, as keywords of `Sender.message`."""
    said = {"traits": draw(st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, 2]), max_size=2))}
    own = draw(st.none() | st.sampled_from(sorted(BROWSERS)))
    customer = BROWSERS[own] if own else draw(st.sampled_from(["C1", "C2"]))
    addresses = [address for address, whose in ADDRESSES.items() if whose == customer]
    does_prove = customer is not None and (own is None or draw(st.booleans()))
    provable = st.lists(st.sampled_from([f"customer_id:{customer}", *addresses]), min_size=1, unique=True)
    proven = draw(provable) if does_prove else []
    if proven and draw(st.booleans()):
        said |= {"account": draw(st.sampled_from(["acme", "globex"])), "kind": "group"}
    elif proven and own is None and draw(st.booleans()):
        browsers = [browser for browser, whose in BROWSERS.items() if whose == customer]
        said |= {"previous": draw(st.sampled_from(browsers)), "kind": "alias"}
    source = draw(st.none() | st.sampled_from(["direct", "internal", "email", "cpc"]))
    if source:
        said["context"] = {"source": {"medium": source}}
    return own, proven, said


histories = st.lists(tellings(), min_size=1, max_size=9)


def in_some_order(random_, messages):
    """Return the messages in another order, some of them again, cut into batches."""
    told = [*messages, *random_.choices(messages, k=2)]
    random_.shuffle(told)
    while told:
        cut = random_.randint(1, len(told))
        yield told[:cut]
        told = told[cut:]


def write(sender, history):
    last = len(history)
    return [
        sender.message(
            own, *proven, at=minute, received=last, number=1000 * sender.advertiser.pk + minute + 1, **said
        )
        for minute, (own, proven, said) in enumerate(history)
    ]


def state(advertiser):
    """Return all that an advertiser knows, people by their identifiers."""
    names = names_of(advertiser)
    mine = {"advertiser": advertiser}
    assert set(names) == set(Profile.all_advertisers.filter(**mine).values_list("pk", flat=True))
    return {
        "people": set(names.values()),
        "events": {
            person: [event for event in events if event[0] != attribute_changes.NAME]
            for person, events in events_by_person(advertiser).items()
        },
        "attributes": {
            (names[row.profile_id], row.name): (row.value, row.seen_at)
            for row in Attribute.all_advertisers.filter(**mine)
        },
        "touches": {
            (names[row.profile_id], row.which): (row.source["medium"], row.at)
            for row in Touch.all_advertisers.filter(**mine)
        },
        "accounts": {
            (names[row.profile_id], row.account.key): row.since
            for row in AccountMember.all_advertisers.filter(**mine).select_related("account")
        },
    }


@few
@given(histories, st.randoms(use_true_random=False))
def test_any_order_and_repetition_ends_in_the_same_people(history, order):
    random.seed()  # our ids come from there, and Hypothesis lets each example begin with the same ones
    one, other = Sender(make_advertiser()), Sender(make_advertiser())
    for message in write(one, history):
        record_all([message])
    for batch in in_some_order(order, write(other, history)):
        record_all(batch)

    assert state(one.advertiser) == state(other.advertiser)


@few
@given(
    st.lists(st.tuples(st.sampled_from(["browser:1", "browser:2"]), st.sampled_from(["C1", "C2", "C3"])), max_size=7),
    st.randoms(use_true_random=False),
)
def test_shared_devices_end_with_whom_they_proved_last(proofs, order):
    random.seed()
    one, other = Sender(make_advertiser()), Sender(make_advertiser())
    history = [(browser, [f"customer_id:{customer}"], {}) for browser, customer in proofs]
    for message in write(one, history):
        record_all([message])
    for batch in in_some_order(order, write(other, history)) if history else ():
        record_all(batch)

    assert state(one.advertiser) == state(other.advertiser)
    last = dict(proofs)
    for person in people(one.advertiser):
        (customer,) = (name for name in person if name.startswith("customer_id"))
        assert {last[name] for name in person - {customer}} <= {customer.partition(":")[2]}


changes = st.lists(st.tuples(st.sampled_from(sorted(BROWSERS)), st.sampled_from(["prove", "add"])), max_size=7)


@few
@given(changes, st.randoms(use_true_random=False))
def test_memberships_do_not_depend_on_when_people_become_one(told, order):
    """Some changes put a browser into a segment, others prove its customer."""
    random.seed()
    in_order = list(enumerate(told))
    results = []
    for steps in (in_order, order.sample(in_order, len(in_order))):
        sender = Sender(make_advertiser())
        segment = make_segment(sender.advertiser)
        record_all([sender.message(own) for own in BROWSERS])
        for minute, (own, change) in steps:
            if change == "prove":
                record_all([sender.message(own, f"customer_id:{BROWSERS[own] or 'C3'}", at=minute)])
            else:
                put_in(segment, own, minute)
        names = names_of(sender.advertiser)
        rows = Membership.all_advertisers.filter(segment=segment)
        results.append({(names[row.profile_id], row.starts_at, row.expires_at) for row in rows})
    assert results[0] == results[1]


def put_in(segment, own, minute):
    kind, _, value = own.rpartition(":")
    with acting_for(segment.advertiser_id):
        asked = Ask("add", kind, value, lifetime=timedelta(days=1))
        change_members(segment, [asked], at=NOON + timedelta(minutes=minute))
