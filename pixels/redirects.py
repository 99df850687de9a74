"""Where a browser may be sent: an https address on a host that the advertiser has listed (pixels.md 1.13).

Promise: what `read_target` returns leads to a listed host, by https on port 443, for everyone who reads addresses. It
is written anew from its parts: the host is made of letters, digits, hyphens and dots and is no number, everything
behind it is percent-encoded, and so is what is filled in, so that nothing filled in can move a border between parts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pixels.hosts import Hosts
from pixels.parsing import is_placeholder

LONGEST_TARGET = 4_096
# Filled in, an address may be longer: what goes on as a header must still be one that clients take.
LONGEST_LOCATION = 8_192
_LONGEST_HOST = 253

MUSTER_ID = "MUSTER_ID"
NOBODY = "0"  # instead of an id
# Macro without its vendor -> the request's own parameter that fills it.
CONSENT_MACROS = {
    "GDPR": "gdpr",
    "GDPR_CONSENT": "gdpr_consent",
    "GPP_STRING": "gpp",
    "GPP_SID": "gpp_sid",
    "US_PRIVACY": "us_privacy",
}
_MACRO = re.compile(
    r"\$\{(GDPR|GDPR_CONSENT_[0-9]{1,6}|GPP_STRING_[0-9]{1,6}|GPP_SID|US_PRIVACY|MUSTER_ID)\}", re.ASCII
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_ADDRESS = re.compile(r"https://([a-z0-9.-]+)(?::443)?(/[^?#]*)?(\?[^#]*)?(#.*)?", re.ASCII | re.IGNORECASE)
# What may stand unchanged behind the host.
_KEPT = "/?#:@!$&'()*+,;=-._~%"
_KEPT_OF_VALUES = ",-._~"


@dataclass(frozen=True, slots=True)
class Target:
    """An address that has passed the guard. `parts` are texts and names of macros by turns, a text first and last."""

    host: str
    parts: tuple[str, ...]

    @property
    def names_browser(self) -> bool:
        return MUSTER_ID in self.parts[1::2]

    def location(self, values: Mapping[str, str], muster_id: str = NOBODY) -> str | None:
        """Return the address with its macros filled from a request's parameters; None where it grows too long."""
        location = self._joined([_filled(name, values, muster_id) for name in self.parts[1::2]])
        return location if len(location) <= LONGEST_LOCATION else None

    def template(self, *, keeps_id: bool = False) -> str:
        """Return the address with its macros left in it; without `keeps_id` the browser's id is nobody's."""
        return self._joined(
            [NOBODY if name == MUSTER_ID and not keeps_id else f"${{{name}}}" for name in self.parts[1::2]]
        )

    def _joined(self, fillings: Sequence[str]) -> str:
        behind = "".join(text + filling for text, filling in zip(self.parts[::2], [*fillings, ""], strict=True))
        return f"https://{self.host}{behind}"


def read_target(text: str, hosts: Hosts) -> Target | None:
    """Return where an address leads, None where a browser may not be sent there."""
    target = read_address(text)
    return target if target is not None and hosts.allow(target.host) else None


def read_address(text: str) -> Target | None:
    """Return an address that is one, whoever's host it is: ask a list before anybody is sent there."""
    if len(text) > LONGEST_TARGET or not text.isprintable() or " " in text or "\\" in text:
        return None
    if "%0d" in (lower := text.lower()) or "%0a" in lower:
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    host, path, query, fragment = found.groups(default="")
    host = host.lower()
    if not is_name(host):
        return None
    texts = _MACRO.split((path or "/") + query + fragment)
    texts[::2] = [quote(one, safe=_KEPT) for one in texts[::2]]
    return Target(host, tuple(texts))


def why_not_target(text: str, hosts: Hosts, of_whom: str) -> str:
    """Return, for the person who wrote it, why no browser is sent to an address; nothing where one is."""
    if read_target(text, hosts) is not None:
        return ""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return "Write an address that begins with https:// and a host name, without a user, a port or a backslash."
    host = found[1].lower()
    if not is_name(host):
        return f"“{host}” is no host name."
    if not hosts.allow(host):
        return f"The host {host} is not among {of_whom}. Add it there first."
    return "The address holds a sign that no address may hold, such as a blank, or is too long."


def is_name(host: str) -> bool:
    """Say whether a host is a name; one that ends in a number is an address, however it is written."""
    labels = host.split(".")
    is_written_well = all(label and label[0] != "-" and label[-1] != "-" for label in labels)
    return len(host) <= _LONGEST_HOST and is_written_well and not _NUMBER.fullmatch(labels[-1])


def _filled(name: str, values: Mapping[str, str], muster_id: str) -> str:
    if name == MUSTER_ID:
        return quote(muster_id, safe="")
    value = values.get(CONSENT_MACROS[name.rstrip("0123456789").rstrip("_")], "")
    return "" if is_placeholder(value) else quote(value, safe=_KEPT_OF_VALUES)
