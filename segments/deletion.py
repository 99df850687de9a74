"""Deleting a segment: it is gone for everybody at once, and its row is kept.

Fires of tags that still stand somewhere find the kept row for 90 days and are counted as refused. Another segment may
have its code.
"""

from datetime import datetime

from django.utils import timezone

from segments.models import Segment


def delete_segment(segment: Segment, at: datetime | None = None) -> None:
    """Delete a segment; a second time changes nothing. Exports and pixels that name it leave it out."""
    if segment.deleted_at is None:
        segment.deleted_at = at or timezone.now()
        segment.save(update_fields=["deleted_at"])
