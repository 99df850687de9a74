"""The browser id: a cookie that only the server mints, and the id that an advertiser stores (pixels.md 1.3).

Promise: an id counts only if its MAC is right, so nobody can choose one; and what is stored is keyed per advertiser,
so two advertisers' tables cannot be joined on it.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from audience.identity import Key

LIFETIME_DAYS = 395
SECONDS_OF_A_DAY = 24 * 60 * 60
# Verified values are remembered: a browser that fires often pays for its MAC once. About 30 MB when full.
REMEMBERED_VALUES = 65_536
_LONGEST_VALUE = 128


@dataclass(frozen=True, slots=True)
class BrowserId:
    """What a cookie's value says: 16 random bytes, the day they were minted, the key that signed."""

    random: bytes
    minted_day: int
    key_id: str

    def is_over(self, today: int) -> bool:
        """Days since 1970-01-01. The end is counted from minting and never put off."""
        return today >= self.minted_day + LIFETIME_DAYS


@dataclass(frozen=True, slots=True)
class Style:
    """A cookie's name and its attributes behind Max-Age."""

    name: str
    attributes: str

    def header(self, value: str, minted_day: int, today: int) -> str:
        """Return the Set-Cookie line, by hand: Django's cookie class may refuse `Partitioned`."""
        return self.line(value, (minted_day + LIFETIME_DAYS - today) * SECONDS_OF_A_DAY)

    def line(self, value: str, max_age_seconds: int) -> str:
        """Return a Set-Cookie line; with 0 seconds it deletes the cookie."""
        return f"{self.name}={value}; Max-Age={max_age_seconds}; {self.attributes}"


PARTITIONED = Style("__Host-muid", "Path=/; Secure; HttpOnly; SameSite=None; Partitioned")
UNPARTITIONED = Style("__Host-muid", "Path=/; Secure; HttpOnly; SameSite=None")
FIRST_PARTY = Style("__Host-muid", "Path=/; Secure; HttpOnly; SameSite=Lax")
PLAIN_HTTP = Style("muid", "Path=/; HttpOnly; SameSite=Lax")
# An opt-out (pixels.md 1.10). Two, because where third-party cookies are blocked the first one is not seen.
OPT_OUTS = (
    Style("__Host-mopt", "Path=/; Secure; HttpOnly; SameSite=None"),
    Style("__Host-moptp", "Path=/; Secure; HttpOnly; SameSite=None; Partitioned"),
)
PLAIN_OPT_OUTS = (Style("mopt", "Path=/; HttpOnly; SameSite=Lax"),)


class Signer:
    """Mint and verify cookie values. The first key signs; values of the others stay good until they are over."""

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        """`keys` are (key id, secret)."""
        self._secrets = {key_id: secret.encode() for key_id, secret in keys}
        self.key_id = keys[0][0]
        self.verify: Callable[[str], BrowserId | None] = lru_cache(REMEMBERED_VALUES)(self._verify)

    def mint(self, today: int) -> BrowserId:
        return BrowserId(secrets.token_bytes(16), today, self.key_id)

    def sign(self, browser: BrowserId) -> str:
        """Return the value: version . key id . random . day . MAC, signed by the id's own key."""
        text = f"1.{browser.key_id}.{browser.random.hex()}.{browser.minted_day}"
        mac = hmac.digest(self._secrets[browser.key_id], text.encode(), "sha256")[:16]
        return f"{text}.{urlsafe_b64encode(mac).decode().rstrip('=')}"

    def renew(self, browser: BrowserId) -> BrowserId:
        """Return the same id, to be signed with the present key."""
        return BrowserId(browser.random, browser.minted_day, self.key_id)

    def _verify(self, value: str) -> BrowserId | None:
        parts = value.split(".")
        if len(value) > _LONGEST_VALUE or not value.isascii() or len(parts) != 5 or parts[1] not in self._secrets:
            return None
        _, key_id, random, day, _ = parts
        if len(random) != 32 or len(day) > 6 or not day.isdigit():
            return None
        try:
            browser = BrowserId(bytes.fromhex(random), int(day), key_id)
        except ValueError:
            return None
        # Signed anew and compared as a whole: there is one spelling of an id and no other.
        return browser if hmac.compare_digest(self.sign(browser), value) else None


def values_of(header: str, name: str) -> list[str]:
    """Return the values of one name in a Cookie header; a browser may send it partitioned and not."""
    if name not in header:
        return []
    if ";" not in header and header.startswith(f"{name}="):  # nearly every browser: this cookie and no other
        value = header[len(name) + 1 :].rstrip()
        return [value] if value else []
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return [value for found, _, value in pairs if found == name and value]


@lru_cache(REMEMBERED_VALUES)
def key_of(advertiser_id: int, id_key: bytes, random: bytes) -> Key:
    """Return the `browser` identifier as one advertiser knows it."""
    return Key(advertiser_id, "browser", stored_id(id_key, random))


def stored_id(id_key: bytes, random: bytes) -> str:
    """Return its value: 32 hex digits."""
    return hmac.digest(id_key, random, "sha256").hex()[:32]
