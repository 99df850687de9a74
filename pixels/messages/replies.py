"""What the HTTP API answers (pixels.md 4.4)."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pixels.answers import COMMON_HEADERS, Answer, Header
from pixels.messages.arrivals import Kept
from pixels.messages.errors import STATUS, MessageError, RequestError
from pixels.messages.reading import Read
from pixels.reasons import Outcome

_JSON_HEADERS: list[Header] = [("content-type", "application/json"), *COMMON_HEADERS]
BUSY_SECONDS = 5
RATE_SECONDS = 60
_RETRY_AFTER = {RequestError.BUSY: BUSY_SECONDS, RequestError.RATE_LIMITED: RATE_SECONDS}


def json_answer(status: int, body: dict[str, Any], headers: Sequence[Header] = ()) -> Answer:
    return Answer(status, [*_JSON_HEADERS, *headers], _written(body))


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def refusal(error: RequestError, headers: Sequence[Header] = ()) -> Answer:
    """Return the answer of a request of which nothing is kept."""
    if error in _RETRY_AFTER:
        headers = [*headers, ("retry-after", str(_RETRY_AFTER[error]))]
    return json_answer(STATUS[error], {"code": error.value, "message": error.label}, headers)


def reply(reads: Sequence[Read], kept: Sequence[Kept], more: dict[str, Any], headers: Sequence[Header]) -> Answer:
    """Return the answer of messages that are kept, each by its outcome; `more` is added where any is.

    What waits in a spool is `pending`: nothing is known yet of what it changes.
    """
    rejected = [
        _rejection(index, read, one.error)
        for index, (read, one) in enumerate(zip(reads, kept, strict=True))
        if one.error is not None
    ]
    ends = [one.outcome for one in kept if one.error is None]
    numbers = (ends.count(Outcome.APPLIED), ends.count(Outcome.DUPLICATE), ends.count(Outcome.SUPPRESSED),
        ends.count(Outcome.PENDING))  # fmt: skip
    if not rejected and not more:
        return Answer(200, [*_JSON_HEADERS, *headers], _counted(*numbers))
    body = _numbers(*numbers) | {"success": len(rejected) < len(reads), "rejected": rejected}
    if len(rejected) == len(reads):
        first = {name: rejected[0][name] for name in ("code", "message")}
        return json_answer(400, first | body, headers)
    return json_answer(200, body | more, headers)


@lru_cache(1024)
def _counted(accepted: int, duplicate: int, suppressed: int, pending: int) -> bytes:
    """Return the body of nearly every answer: nothing was wrong."""
    return _written(_numbers(accepted, duplicate, suppressed, pending))


def _numbers(accepted: int, duplicate: int, suppressed: int, pending: int) -> dict[str, Any]:
    return {
        "success": True,
        "accepted": accepted,
        "duplicate": duplicate,
        "suppressed": suppressed,
        **({"pending": pending} if pending else {}),
        "rejected": [],
    }


def _rejection(index: int, read: Read, error: MessageError) -> dict[str, Any]:
    return {"index": index, "messageId": read.name or None, "code": error.value, "message": error.label}
