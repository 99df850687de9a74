"""What segments tell on a profile's page: where the person is and until when, and what led there."""

from django.utils import timezone

from audience.admin.profile import Section, tells_of_profiles
from audience.models import Profile
from segments.membership import holds
from segments.models import Membership, Transition

MEMBERSHIPS_SHOWN = 100
TRANSITIONS_SHOWN = 50


@tells_of_profiles
def memberships(profile: Profile) -> Section:
    """Tell in which segments the profile is now."""
    rows = Membership.objects.filter(holds(timezone.now()), profile_id=profile.pk, segment__deleted_at=None)
    found = list(rows.select_related("segment").order_by("segment__name")[:MEMBERSHIPS_SHOWN])
    return Section("In these segments now", "segments/admin/memberships.html", {"memberships": found})


@tells_of_profiles
def transitions(profile: Profile) -> Section:
    """Tell what the profile joined and left lately."""
    rows = Transition.objects.filter(profile_id=profile.pk).select_related("segment").order_by("-at")
    found = list(rows[:TRANSITIONS_SHOWN])
    return Section("Joined and left", "segments/admin/transitions.html", {"transitions": found})
