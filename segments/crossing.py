"""From people to their accounts, and on to their colleagues: whom else rules are to be asked about.

Law: locks are taken in one order, profiles before accounts, both sorted; so nobody waits in a circle. Colleagues are
profiles that come after accounts, and whoever holds accounts already may come too late for others: those are taken
only where they are free. An account that could not be reached whole, or has too many people for one transaction,
waits to be asked (`segments.waiting`).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from django.conf import settings

from audience.columns import bigints, texts, uuids
from audience.news import Happened
from audience.talk import Talk, reads, writes
from segments.evaluation import Because
from segments.rulebook import Entry

Asking = dict[Entry, dict[bytes, Because]]  # the rules, about whom each is asked, and why

# A profile's rows of this change only under its own lock, which the caller holds.
_ACCOUNTS = reads("SELECT profile_id, account_id FROM audience_accountmember WHERE profile_id = ANY(%s::uuid[])")
LOCK_ACCOUNTS = reads("SELECT id FROM audience_account WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE")
_LOCK_FREE_ACCOUNTS = reads(
    "SELECT id FROM audience_account WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
)
_LARGE = reads(
    """
    SELECT a.id FROM unnest(%s::uuid[]) a(id) WHERE EXISTS (
        SELECT FROM audience_accountmember m WHERE m.account_id = a.id OFFSET %s::int
    )
    """
)
_PEOPLE = reads("SELECT account_id, profile_id FROM audience_accountmember WHERE account_id = ANY(%s::uuid[])")
_LOCK_FREE_PEOPLE = reads(
    """
    SELECT id FROM audience_profile WHERE id IN (
        SELECT profile_id FROM audience_accountmember WHERE account_id = ANY(%s::uuid[])
    ) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    """
)
_WAIT = writes(
    """
    INSERT INTO segments_waitingaccount (advertiser_id, account_id, cause)
    SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::text[])
    """
)


class Across(NamedTuple):
    """Which rules feel news as those of somebody of the same account: by profile, and of the account itself."""

    of_people: Asking
    of_accounts: Asking

    def __bool__(self) -> bool:
        return bool(self.of_people or self.of_accounts)


def reach(rules: Asking, across: Across, happened: Happened) -> Talk[None]:
    """Add to what is asked the accounts and colleagues that the news reach, all of them locked."""
    if not across:
        return
    accounts = yield from _accounts(across)
    holds_some = any(fact.message.account for fact in happened.facts)
    holds_some |= any(changed.of == "account" for changed in happened.changed)
    named = {account for some in accounts.values() for account in some}
    lock = _LOCK_FREE_ACCOUNTS if holds_some else LOCK_ACCOUNTS
    locked, large = yield [lock(uuids(sorted(named))), _LARGE(uuids(sorted(named)), settings.MUSTER_ACCOUNT_PEOPLE)]
    reached = {account for (account,) in locked} - {account for (account,) in large}
    late = named - reached
    for entry, some in accounts.items():
        if entry.ruled.of == "account":
            rules[entry] |= {account: because for account, because in some.items() if account in reached}
    late |= yield from _add_colleagues(rules, accounts, reached)
    if late:
        yield from _wait(accounts, late)


def _accounts(across: Across) -> Talk[Asking]:
    """Return about which accounts rules are to be asked."""
    found: Asking = defaultdict(dict)
    people = {profile for some in across.of_people.values() for profile in some}
    pairs = []
    if people:
        (pairs,) = yield [_ACCOUNTS(uuids(sorted(people)))]
    for entry, profiles in across.of_people.items():
        found[entry] |= {account: profiles[profile] for profile, account in pairs if profile in profiles}
    for entry, accounts in across.of_accounts.items():
        found[entry] |= accounts
    return found


def _add_colleagues(rules: Asking, accounts: Asking, reached: Collection[bytes]) -> Talk[set[bytes]]:
    """Ask rules about profiles about everybody of the accounts; return the accounts of whom somebody is held."""
    crossing = {entry: some for entry, some in accounts.items() if entry.ruled.of == "profile"}
    named = sorted({account for some in crossing.values() for account in some if account in reached})
    if not named:
        return set()
    pairs, locked = yield [_PEOPLE(uuids(named)), _LOCK_FREE_PEOPLE(uuids(named))]
    free = {profile for (profile,) in locked}
    for entry, some in crossing.items():
        colleagues = {profile: some[account] for account, profile in pairs if account in some and profile in free}
        rules[entry] = colleagues | rules[entry]
    return {account for account, profile in pairs if profile not in free}


def _wait(accounts: Mapping[Entry, Mapping[bytes, Because]], late: Collection[bytes]) -> Talk[None]:
    waiting = {
        account: (entry.ruled.advertiser_id, because.cause)
        for entry, some in accounts.items()
        for account, because in some.items()
        if account in late
    }
    advertisers, causes = zip(*waiting.values(), strict=True)
    yield [_WAIT(bigints(advertisers), uuids(list(waiting)), texts([str(cause.value) for cause in causes]))]
