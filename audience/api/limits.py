"""How many calls a token may make in a minute.

Counted in the database, so that the limit holds over all processes and machines. A count is not worth a flush to
disk: its table is unlogged, and a crash of the database forgives one minute.
"""

from datetime import datetime

from django.conf import settings
from django.db import connection
from django.utils import timezone
from rest_framework.exceptions import Throttled

from audience.models import ApiToken

_COUNT = """
    INSERT INTO audience_apicalls AS c (token_id, minute, calls) VALUES (%s, %s, 1)
    ON CONFLICT (token_id) DO UPDATE SET
        calls = CASE WHEN c.minute = excluded.minute THEN c.calls + 1 ELSE 1 END, minute = excluded.minute
    RETURNING calls
"""


def count_call(token: ApiToken, at: datetime | None = None) -> None:
    """Count one call of a token; raise `Throttled` where the minute is used up."""
    now = at or timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [token.pk, now.replace(second=0, microsecond=0)])
        (calls,) = cursor.fetchone()
    if calls > settings.API_CALLS_A_MINUTE:
        raise Throttled(wait=60 - now.second)
