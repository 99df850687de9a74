"""How the messages of write keys ended of late, for the page that shows it."""

from collections import Counter, defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Sum

from audience.models import WriteKey
from pixels.models import MessageDelta, MessageHour

SHOWN = timedelta(hours=24)


class End(NamedTuple):
    """An outcome, and the error where it is a refusal; both as they are stored."""

    outcome: str
    error: str


def ends_of(keys: Collection[WriteKey], now: datetime) -> dict[int, Counter[End]]:
    """Return how many messages of each key ended how in the last 24 hours, by the key's number."""
    found: dict[int, Counter[End]] = defaultdict(Counter)
    since = now - SHOWN
    numbers = [key.pk for key in keys]
    for model in (MessageHour, MessageDelta):
        rows = model.objects.filter(source_id__in=numbers, hour__gte=since)
        counted = rows.values_list("source_id", "outcome", "error").annotate(Sum("messages"))
        for source_id, outcome, error, messages in counted:
            found[source_id][End(outcome, error)] += messages
    return found
