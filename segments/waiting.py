"""Accounts that wait to be asked about: news could not reach them and all of their people in one transaction.

Each is asked about anew, and then its people in chunks. What waits is forgotten when that is done: so it may be
killed anywhere, and whatever comes to wait meanwhile is asked about again.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from audience.columns import batch_cursor, uuids
from audience.instants import Instant, instant
from audience.talk import Talk, reads, speak
from segments import rulebook
from segments.crossing import LOCK_ACCOUNTS
from segments.evaluation import Because
from segments.models import Cause, WaitingAccount
from segments.rulebook import Entry, Wakes
from segments.waking import ask

PEOPLE_AT_ONCE = 2_000
_PEOPLE = """
    SELECT profile_id FROM audience_accountmember WHERE account_id = %s AND profile_id > %s
    ORDER BY profile_id LIMIT %s
"""
_LOCK_PEOPLE = reads("SELECT id FROM audience_profile WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE")


def ask_waiting(now: datetime | None = None) -> int:
    """Ask about all accounts that wait by now; return how many. Safe to run several times at once."""
    newest = WaitingAccount.all_advertisers.aggregate(Max("id"))["id__max"]
    waiting: dict[tuple[int, UUID], Cause] = {}
    for row in WaitingAccount.all_advertisers.filter(pk__lte=newest or 0).order_by("pk").iterator():
        waiting[row.advertiser_id, row.account_id] = Cause(row.cause)
    for (advertiser_id, account_id), cause in waiting.items():
        _ask_about(advertiser_id, account_id, cause, now)
        WaitingAccount.all_advertisers.filter(
            advertiser_id=advertiser_id, account_id=account_id, pk__lte=newest
        ).delete()
    return len(waiting)


def _ask_about(advertiser_id: int, account_id: UUID, cause: Cause, now: datetime | None) -> None:
    rules = rulebook.refresh().get(advertiser_id)
    entries = rules.woken_across(Wakes(accounts=True)) if rules is not None else set()
    of_accounts = [entry for entry in entries if entry.ruled.of == "account"]
    of_people = [entry for entry in entries if entry.ruled.of == "profile"]
    if of_accounts:
        with transaction.atomic(), batch_cursor(connection.connection) as cursor:
            speak(cursor, _ask_account(of_accounts, account_id.bytes, cause, _moment(now)))
    after = UUID(int=0)
    while of_people:
        with transaction.atomic(), batch_cursor(connection.connection) as cursor:
            cursor.execute(_PEOPLE, [account_id, after, PEOPLE_AT_ONCE])
            people = [profile for (profile,) in cursor.fetchall()]
            if not people:
                return
            speak(cursor, _ask_people(of_people, people, cause, _moment(now)))
        after = UUID(bytes=people[-1])


def _moment(now: datetime | None) -> Instant:
    return instant(now or timezone.now())


def _ask_account(entries: Sequence[Entry], account: bytes, cause: Cause, at: Instant) -> Talk[None]:
    yield [LOCK_ACCOUNTS(uuids([account]))]
    yield from ask({entry: {account: Because(cause)} for entry in entries}, at)


def _ask_people(entries: Sequence[Entry], people: Sequence[bytes], cause: Cause, at: Instant) -> Talk[None]:
    (locked,) = yield [_LOCK_PEOPLE(uuids(people))]
    because = Because(cause)
    yield from ask({entry: {profile: because for (profile,) in locked} for entry in entries if locked}, at)
