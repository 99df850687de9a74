"""Whence a visitor came: medium, name and campaign, in the way of web analytics. The first that speaks decides:

1. campaign tags of the page's address (`utm_…`, and the words of Matomo and Piwik PRO), or the campaign that an SDK
   has read out of them;
2. the id of a click on an advertisement (`gclid`, `msclkid`, …): whose it is tells name and medium;
3. a referrer of the page's own site: `internal`, no source at all;
4. a referrer that is a well-known search engine, social network or mailbox (`audience.context.referrers`);
5. any other referrer: `referral`, under its host's name;
6. nothing: `direct`.

Tags without a source's name take name and medium from what comes next in this list, tags without a medium that of a
click. Of a referrer host and path are kept, of a click its id.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from audience.context.page import LONGEST_PATH, kept_path, parameters, read_address
from audience.context.referrers import known_app, known_host
from audience.context.texts import known, text_of, word_of

DIRECT, INTERNAL, REFERRAL = "direct", "internal", "referral"
LONGEST_CLICK_ID = 512

# Field -> the parameters that say it; the first that is there counts.
TAGS = {
    "name": ("utm_source", "mtm_source", "pk_source"),
    "medium": ("utm_medium", "mtm_medium", "pk_medium"),
    "campaign": ("utm_campaign", "mtm_campaign", "pk_campaign"),
    "term": ("utm_term", "mtm_keyword", "mtm_kwd", "pk_keyword", "pk_kwd"),
    "content": ("utm_content", "mtm_content", "pk_content"),
}
# Parameter -> whose click it is, and of what kind. Facebook marks links of posts as well as advertisements.
CLICKS = {
    "gclid": ("google", "cpc"),
    "gbraid": ("google", "cpc"),
    "wbraid": ("google", "cpc"),
    "dclid": ("google", "display"),
    "msclkid": ("bing", "cpc"),
    "yclid": ("yandex", "cpc"),
    "fbclid": ("facebook", "social"),
    "igshid": ("instagram", "social"),
    "ttclid": ("tiktok", "cpc"),
    "twclid": ("x", "cpc"),
    "li_fat_id": ("linkedin", "cpc"),
    "epik": ("pinterest", "cpc"),
    "ScCid": ("snapchat", "cpc"),
    "rdt_cid": ("reddit", "cpc"),
}
_CLICK_ID = re.compile(rf"[A-Za-z0-9_.~-]{{1,{LONGEST_CLICK_ID}}}")
_APP = re.compile(r"(?:android|ios)-app://([A-Za-z0-9_.]{1,253})(?:/|\Z)")


class Source(NamedTuple):
    """Whence one page view came; what nobody said is empty."""

    medium: str = DIRECT
    name: str = DIRECT
    campaign: str = ""
    term: str = ""
    content: str = ""
    referrer: str = ""
    referrer_domain: str = ""
    click_id: str = ""

    def fields(self) -> dict[str, str | int | float]:
        return known(**self._asdict())


def source_of(
    address: str,
    referrer: str = "",
    *,
    campaign: Mapping[str, object] | None = None,
    is_own: Callable[[str], bool] = lambda host: False,
) -> Source:
    """Return the source of a page view by the page's address and its referrer.

    `campaign` is what an SDK read out of the tags (`name` is the campaign's, `source` the source's). `is_own` says
    whether a host belongs to the advertiser; the page's own host and those above and below it do without asking.
    """
    said = dict(parameters(address)) if "?" in address else {}
    seen = _of_referrer(read_address(address).host, referrer, is_own)
    if not said and not campaign:
        return seen
    clicked = _of_click(said, seen)
    tags = _tags(said, campaign or {})
    if not any(tags.values()):
        return clicked
    if not tags["medium"] and (clicked.click_id or not tags["name"]):
        tags["medium"] = clicked.medium
    return clicked._replace(**tags | {"name": tags["name"] or clicked.name})


def _of_referrer(own_host: str, referrer: str, is_own: Callable[[str], bool]) -> Source:
    if app := _APP.match(referrer):
        package = app[1]
        found = known_app(package)
        name, medium = (found.name, found.medium) if found else (package, REFERRAL)
        return Source(medium, name, referrer=package, referrer_domain=package)
    host, path = read_address(referrer)
    if not host:
        return Source()
    domain = host.removeprefix("www.")
    kept = Source(
        referrer=text_of(f"{host}{kept_path(path)}", LONGEST_PATH),
        referrer_domain=domain,
        medium=REFERRAL,
        name=domain,
    )
    if _is_one_site(host, own_host) or is_own(host):
        return kept._replace(medium=INTERNAL)
    if found := known_host(host):
        return kept._replace(medium=found.medium, name=found.name)
    return kept


def _of_click(said: Mapping[str, str], seen: Source) -> Source:
    for parameter, (name, medium) in CLICKS.items():
        if _CLICK_ID.fullmatch(said.get(parameter, "")):
            return seen._replace(name=name, medium=medium, click_id=said[parameter])
    return seen


def _tags(said: Mapping[str, str], campaign: Mapping[str, object]) -> dict[str, str]:
    """Return the five tags: what an SDK read before what stands in the address."""
    told = {
        "name": campaign.get("source"),
        "medium": campaign.get("medium"),
        "campaign": campaign.get("name"),
        "term": campaign.get("term"),
        "content": campaign.get("content"),
    }
    tags = {
        field: next((text for value in (told[field], *map(said.get, names)) if (text := text_of(value))), "")
        for field, names in TAGS.items()
    }
    return tags | {"medium": word_of(tags["medium"])}


def _is_one_site(host: str, other: str) -> bool:
    """Say whether two hosts are the same, or one lies below the other; `www.` counts for nothing."""
    host, other = host.removeprefix("www."), other.removeprefix("www.")
    return host == other or (other != "" and (host.endswith(f".{other}") or other.endswith(f".{host}")))
