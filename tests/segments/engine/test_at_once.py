"""Several at once change people and accounts whom rules concern: nobody waits in a circle, no join is lost."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from audience.accounts import account_id
from audience.identity import ProfileGone
from audience.instants import instant
from audience.models import Account, Profile
from audience.tenancy import acting_for
from audience.upserts import Link, OfAccount, OfPerson, change_people, tell_of_accounts, tell_of_people
from segments import rulebook
from segments.members import Ask, change_members
from segments.membership import holds
from segments.models import WaitingAccount
from segments.sweeper import sweep
from segments.tables import MEMBERS, MEMBERSHIPS
from segments.waiting import ask_waiting
from tests.factories import make_segment
from tests.segments.engine.scene import Shop, steps, sweep_at
from tests.segments.rules.facts import at

pytestmark = pytest.mark.django_db(transaction=True)

VIEW = {"event": "view", "window": {"within": "7d"}}
GOLD = {"attribute": "plan", "equals": "gold"}
RETAIL = {"attribute": "industry", "equals": "retail"}
SPENT = {"event": "buy", "window": {"within": "7d"}, "sum": {"of": "total", "at_least": 100}}


@pytest.fixture
def shop():
    return Shop()


class Turn:
    """Work of another connection, which is done and not committed until the block ends."""

    def __init__(self, work) -> None:
        self._work, self._done, self._may_commit = work, threading.Event(), threading.Event()
        self.failures: list[Exception] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with transaction.atomic():
                self._work()
                self._done.set()
                self._may_commit.wait(60)
        except Exception as error:
            self.failures.append(error)
        finally:
            self._done.set()
            connections.close_all()

    def start(self) -> None:
        self._thread.start()

    def wait_until_done(self) -> None:
        assert self._done.wait(60)

    def commit(self) -> None:
        self._may_commit.set()
        self._thread.join(60)
        assert self.failures == []


@contextmanager
def uncommitted(work) -> Iterator[None]:
    turn = Turn(work)
    turn.start()
    turn.wait_until_done()
    yield
    turn.commit()


@contextmanager
def behind(work) -> Iterator[None]:
    """Do work that has to wait for a transaction which the block commits."""
    turn = Turn(work)
    turn.start()
    _until_somebody_waits()
    yield
    turn.wait_until_done()
    turn.commit()


def _until_somebody_waits() -> None:
    asking = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with connection.cursor() as cursor:
        for _ in range(100_000):
            cursor.execute(asking)
            if cursor.fetchone()[0]:
                return
    raise AssertionError("Nobody waits.")


def test_a_message_that_comes_while_the_api_changes_the_person(shop):
    segment = shop.segment("gold-viewers", {"all_of": [VIEW, GOLD]})
    tell_of_people(shop.advertiser, [OfPerson("customer_id", "C1", {"plan": "tin"})], at=at("05-01"))
    gold = OfPerson("customer_id", "C1", {"plan": "gold"})
    first = Turn(lambda: tell_of_people(shop.advertiser, [gold], at=at("05-02")))
    first.start()
    first.wait_until_done()
    with behind(lambda: shop.track("customer_id:C1", "view", "05-02 00:01")):
        first.commit()
    assert shop.steps(segment) == steps("join 05-02 00:01 fact")


def test_two_people_of_an_account_bring_it_in_together(shop):
    segment = shop.segment("spenders", SPENT, of="account")
    for who in ("u1", "u2"):
        shop.track(who, "", "05-01", account="ACME")
    first = Turn(lambda: shop.track("u1", "buy", "05-02", total=60))
    first.start()
    first.wait_until_done()
    with behind(lambda: shop.track("u2", "buy", "05-02 00:01", total=60)):
        first.commit()
    assert shop.steps(segment) == steps("join 05-02 00:01 fact")


def test_a_colleague_whom_somebody_holds_is_asked_about_later_and_nobody_waits(shop):
    segment = shop.segment("viewers-of-shops", {"all_of": [VIEW, {"account": RETAIL}]})
    for who in ("u1", "u2"):
        shop.track(who, "view", "05-01", account="ACME")
    with uncommitted(lambda: shop.track("u2", "view", "05-02")):
        tell_of_accounts(shop.advertiser, [OfAccount("ACME", {"industry": "retail"})], at=at("05-02"))
        assert shop.members(segment, "05-03") == 1
    ask_waiting(at("05-02 00:05"))
    assert shop.members(segment, "05-03") == 2


def test_an_earlier_batch_that_is_late_for_the_lock_does_not_turn_back(shop):
    segment = shop.segment("viewers", VIEW)
    shop.track("p", "view", "05-01 10:00:01")
    shop.track("p", "view", "05-01 10:00:00")
    shop.track("q", "view", "05-01 10:00:01")
    shop.track("q", "login", "05-01 10:00:00")
    sweep_at("05-01 10:00:02")
    assert shop.steps(segment) == steps("join 05-01 10:00:01 fact, join 05-01 10:00:01 fact")


def test_each_move_by_batches_that_are_late_for_the_lock_is_told(shop):
    not_bought = {"all_of": [VIEW, {"event": "buy", "window": {"within": "7d"}, "count": {"none": True}}]}
    segment = shop.segment("fans", {"any_of": [not_bought, {"event": "return", "window": {"within": "7d"}}]})
    shop.track("p", "view", "05-01 10:00:03")
    shop.track("p", "buy", "05-01 10:00:02")
    shop.track("p", "return", "05-01 10:00:01")
    assert shop.members(segment, "05-01 10:00:04") == 1
    assert [change for change, *_ in shop.steps(segment)] == ["join", "leave", "join"]


def test_the_sweeper_leaves_alone_whom_a_batch_holds(shop):
    segment = shop.segment("viewers", VIEW)
    shop.track("p", "view", "05-01")
    with uncommitted(lambda: shop.track("p", "view", "05-07 23:59")):
        sweep_at("05-08")
    sweep_at("05-08")
    assert shop.steps(segment) == steps("join 05-01 fact")


WORKERS, TURNS = 4, 25
PEOPLE = [f"customer_id:{letter}" for letter in "abcdef"]
ACCOUNTS = ("ACME", "OTHER")
RULES = {
    "viewers": VIEW | {"count": {"at_least": 3}},
    "gold": GOLD,
    "gold-viewers": {"all_of": [{"segment": "viewers", "in": True}, {"segment": "gold", "in": True}]},
    "with-x": {"segment": "x", "in": True},
    "of-shops": {"account": RETAIL},
    "with-spenders": {"account": {"people": "any", "who": SPENT}},
}
RULES_OF_ACCOUNTS = {
    "spenders": SPENT,
    "shops": RETAIL,
    "teams": {"people": {"at_least": 3}, "who": {"segment": "x", "in": True}},
}


class Crowd:
    """Workers that change the same few people and accounts in every way there is."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.x = shop, make_segment(shop.advertiser, code="x")
        for code, node in RULES.items():
            shop.segment(code, node)
        for code, node in RULES_OF_ACCOUNTS.items():
            shop.segment(code, node, of="account")
        self.failures: list[str] = []
        self.lock = threading.Lock()
        self.ways = (self.send, self.send, self.tell, self.put, self.tell_accounts, self.belong, self.tidy)

    def send(self, draw: random.Random) -> None:
        with self.lock:
            messages = [self.message(draw) for _ in range(4)]
        self.shop.send(*messages)

    def message(self, draw: random.Random):
        event = draw.choice(("view", "buy", ""))
        told = {"total": draw.randrange(70)} if event == "buy" else {}
        group = draw.choice(ACCOUNTS) if not event else ""
        message = self.shop.message(draw.choice(PEOPLE), event, "05-01", account=group, **told)
        now = instant(timezone.now())
        return message._replace(received_at=now, occurred_at=now)

    def tell(self, draw: random.Random) -> None:
        people = [OfPerson(*one.split(":"), {"plan": draw.choice(("gold", "tin"))}) for one in draw.sample(PEOPLE, 2)]
        tell_of_people(self.shop.advertiser, people, at=timezone.now())

    def put(self, draw: random.Random) -> None:
        asked = [Ask(draw.choice(("add", "remove")), *one.split(":")) for one in draw.sample(PEOPLE, 3)]
        change_members(self.x, asked, at=timezone.now())

    def tell_accounts(self, draw: random.Random) -> None:
        told = [OfAccount(key, {"industry": draw.choice(("retail", "banking"))}) for key in ACCOUNTS]
        draw.shuffle(told)
        tell_of_accounts(self.shop.advertiser, told, at=timezone.now())

    def belong(self, draw: random.Random) -> None:
        key = account_id(self.shop.advertiser.pk, draw.choice(ACCOUNTS))
        account = Account.all_advertisers.filter(pk=key.hex()).first()
        links = [Link(draw.choice(("add", "remove")), *one.split(":")) for one in draw.sample(PEOPLE, 2)]
        if account is not None:
            change_people(account, links, at=timezone.now())

    def tidy(self, draw: random.Random) -> None:
        sweep()
        ask_waiting()

    def work(self, number: int) -> None:
        draw = random.Random(number)
        try:
            for _ in range(TURNS):
                way = draw.choice(self.ways)
                try:
                    way(draw)
                except ProfileGone:  # what a committer tries again
                    pass
                except (psycopg.Error, OperationalError) as error:
                    self.failures.append(f"{way.__name__}: {error}")
        finally:
            connections.close_all()


@pytest.mark.spec("R5")
def test_a_crowd_ends_where_the_rules_say_and_nobody_waits_in_a_circle(shop):
    crowd = Crowd(shop)
    threads = [threading.Thread(target=crowd.work, args=[number]) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    ask_waiting()
    now = timezone.now()
    sweep(now)

    assert crowd.failures == []
    assert Profile.all_advertisers.count() == len(PEOPLE)
    assert not WaitingAccount.all_advertisers.exists()
    for entry in rulebook.refresh()[shop.advertiser.pk].entries:
        of, compiled = entry.ruled.of, entry.ruled.compiled
        ids = list(MEMBERS[of].all_advertisers.values_list("pk", flat=True))
        with connection.cursor() as cursor:
            question = f"SELECT s.{of}_id FROM unnest(%s::uuid[]) s({of}_id) WHERE {compiled.sql} @> %s::timestamptz"
            cursor.execute(question, [ids, *compiled.values(now), now])
            expected = {member for (member,) in cursor.fetchall()}
        with acting_for(shop.advertiser.pk):
            rows = MEMBERSHIPS[of].objects.filter(holds(now), segment_id=entry.ruled.segment_id)
            assert set(rows.values_list(f"{of}_id", flat=True)) == expected, entry.ruled.segment_id
