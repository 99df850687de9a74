"""What segments tell on an account's page: where it is, in which segments its people are, and how soon rules hear."""

from django.conf import settings
from django.db.models import Count
from django.utils import timezone

from audience.activity import PEOPLE_READ, people_of
from audience.admin.sections import Section, tells_of_accounts
from audience.models import Account, AccountMember
from segments.membership import holds
from segments.models import AccountMembership, Membership

SEGMENTS_SHOWN = 100


@tells_of_accounts
def segments_of_account(account: Account) -> Section:
    """Tell in which segments the account is now; one with very many people is asked about by the sweeper."""
    rows = AccountMembership.objects.filter(holds(timezone.now()), account_id=account.pk, segment__deleted_at=None)
    found = list(rows.select_related("segment").order_by("segment__name")[:SEGMENTS_SHOWN])
    most = settings.MUSTER_ACCOUNT_PEOPLE
    is_large = AccountMember.objects.filter(account_id=account.pk)[most : most + 1].exists()
    return Section(
        "In these segments now",
        "segments/admin/segments_of_account.html",
        {"memberships": found, "most": most if is_large else None},
    )


@tells_of_accounts
def segments_of_people(account: Account) -> Section:
    """Tell in which segments people of the account are now."""
    people = people_of(account)
    rows = Membership.objects.filter(holds(timezone.now()), profile_id__in=people, segment__deleted_at=None)
    by_segment = rows.values("segment_id", "segment__name").annotate(people=Count("profile_id"))
    found = list(by_segment.order_by("-people", "segment__name")[:SEGMENTS_SHOWN])
    is_cut = len(people) == PEOPLE_READ
    return Section(
        "Segments its people are in now",
        "segments/admin/segments_of_people.html",
        {"segments": found, "of": len(people), "is_cut": is_cut},
    )
