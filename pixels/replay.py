"""The header by which a fire of the past keeps its time: sent by the demo, and by whoever replays an access log.

Promise: a fire's time is the receipt by our server, unless the sender holds this installation's replay key. A header
that is not right is ignored like one that nobody knows, so the answer never tells.

    Muster-Replay: 1795000000.250000.JJrBIp65rz7EkD0kiIZIMQ

is Unix seconds with six decimals `.` MAC; MAC = base64url without padding of the first 16 bytes of HMAC-SHA256(key,
"muster-replay-1", time, path with query; joined by line feeds).
"""

import hmac
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta

HEADER = "muster-replay"
_FORM = re.compile(r"([0-9]{1,11})\.([0-9]{6})\.([A-Za-z0-9_-]{22})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Replay:
    """Sign and verify the times of fires that are sent again."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def sign(self, at: datetime, target: str) -> str:
        """Return the header's value for a request of `target`, its path with its query as they are sent."""
        microseconds = (at - _EPOCH) // _MICROSECOND
        text = f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06}"
        return f"{text}.{self._mac(text, target)}"

    def read(self, header: str | None, target: str, now: datetime) -> datetime | None:
        """Return the time that a request's header gives it; None without a good one, or for a time to come."""
        match = _FORM.fullmatch(header) if header else None
        if match is None or header is None:
            return None
        text, _, mac = header.rpartition(".")
        if not hmac.compare_digest(self._mac(text, target), mac):
            return None
        at = _EPOCH + timedelta(seconds=int(match[1]), microseconds=int(match[2]))
        return at if at <= now else None

    def _mac(self, time: str, target: str) -> str:
        text = f"muster-replay-1\n{time}\n{target}".encode(errors="replace")
        return urlsafe_b64encode(hmac.digest(self._key, text, "sha256")[:16]).decode().rstrip("=")
