"""What segments tell on a profile's page: where the person is and until when, and what they joined and left."""

from uuid import UUID

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from audience.admin.sections import Section, tells_of_profiles
from audience.models import Profile
from audience.timeline import Entry, Mark, adds_to_timelines
from segments.membership import holds
from segments.models import Membership, Segment, Transition

MEMBERSHIPS_SHOWN = 100
OTHERS_SHOWN = 200
LARGEST_ID = 2**63 - 1
# Of what happened at one instant, a transition is newer than the event that brought it: its key is the greatest.
_FIRST_KEY = 0xFFFF << 112


@tells_of_profiles
def memberships(profile: Profile) -> Section:
    """Tell in which segments the profile is now, and lead to why; of those by rules that it is not in, too."""
    rows = Membership.objects.filter(holds(timezone.now()), profile_id=profile.pk, segment__deleted_at=None)
    found = list(rows.select_related("segment").order_by("segment__name")[:MEMBERSHIPS_SHOWN])
    by_rules = Segment.objects.filter(kind=Segment.Kind.RULE, deleted_at=None)
    others = by_rules.exclude(pk__in=rows.values("segment_id")).order_by("name")[:OTHERS_SHOWN]
    told = {"profile": profile, "memberships": found, "others": others}
    return Section("In these segments now", "segments/admin/memberships.html", told)


@adds_to_timelines
def transitions(profile_id: UUID, before: Mark | None, limit: int) -> list[Entry]:
    """Return joins and leaves before a mark, newest first. One profile's lie together, by the primary key."""
    rows = Transition.objects.filter(profile_id=profile_id)
    if before is not None:
        rows = rows.filter(_before(before), at__lte=before.at)
    newest = rows.select_related("segment").order_by("-at", "-segment_id", "-change")
    return [_entry(row) for row in newest[:limit]]


def _before(mark: Mark) -> Q:
    number, is_leave = divmod(max(mark.key.int - _FIRST_KEY, 0), 2)
    segment_id = min(number, LARGEST_ID)
    smaller = Q(segment_id__lt=segment_id)
    if is_leave:
        smaller |= Q(segment_id=segment_id, change=Transition.Change.JOIN)
    return Q(at__lt=mark.at) | Q(smaller, at=mark.at)


def _entry(row: Transition) -> Entry:
    key = UUID(int=_FIRST_KEY + 2 * row.segment_id + (row.change == Transition.Change.LEAVE))
    is_deleted = row.segment.deleted_at is not None
    return Entry(
        mark=Mark(row.at, key),
        title=row.segment.name,
        short=row.get_cause_display() + (" · the segment is deleted" if is_deleted else ""),
        tone=row.change,
        tone_name=row.get_change_display(),
        link="" if is_deleted else reverse("admin:segments_segment_overview", args=[row.segment_id]),
    )
