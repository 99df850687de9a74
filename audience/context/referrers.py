"""Which well-known hosts send visitors, under which name, and whether that is a search, a network or a mailbox.

A row is a host and stands for all hosts below it; `google.*` also for google.de and google.co.uk. The longest row
that fits counts, so mail.google.com is a mailbox. Apps on Android tell their package's name instead of a host.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

Medium = Literal["organic", "social", "email", "referral"]


class Known(NamedTuple):
    name: str
    medium: Medium


_SEARCH = {
    "google": ("google.*", "com.google.android.googlequicksearchbox"),
    "bing": ("bing.com", "com.microsoft.bing"),
    "yahoo": ("yahoo.*",),
    "duckduckgo": ("duckduckgo.com", "com.duckduckgo.mobile.android"),
    "ecosia": ("ecosia.org",),
    "qwant": ("qwant.com",),
    "startpage": ("startpage.com",),
    "brave": ("search.brave.com",),
    "kagi": ("kagi.com",),
    "yandex": ("yandex.*", "ya.ru"),
    "baidu": ("baidu.com",),
    "naver": ("naver.com",),
    "seznam": ("seznam.cz",),
    "daum": ("search.daum.net",),
    "sogou": ("sogou.com",),
    "so.com": ("so.com",),
    "aol": ("search.aol.com",),
    "ask": ("ask.com",),
    "swisscows": ("swisscows.com",),
    "t-online": ("suche.t-online.de",),
}
_SOCIAL = {
    "facebook": ("facebook.com", "fb.com", "fb.me", "com.facebook.katana"),
    "messenger": ("messenger.com", "m.me", "com.facebook.orca"),
    "instagram": ("instagram.com", "com.instagram.android"),
    "threads": ("threads.net", "threads.com"),
    "whatsapp": ("whatsapp.com", "wa.me", "com.whatsapp"),
    "x": ("x.com", "twitter.com", "t.co", "com.twitter.android"),
    "linkedin": ("linkedin.com", "lnkd.in", "com.linkedin.android"),
    "xing": ("xing.com",),
    "youtube": ("youtube.com", "youtu.be", "com.google.android.youtube"),
    "tiktok": ("tiktok.com", "com.zhiliaoapp.musically"),
    "pinterest": ("pinterest.*", "pin.it", "com.pinterest"),
    "reddit": ("reddit.com", "com.reddit.frontpage"),
    "snapchat": ("snapchat.com", "com.snapchat.android"),
    "telegram": ("t.me", "telegram.org", "org.telegram.messenger"),
    "discord": ("discord.com", "discordapp.com"),
    "mastodon": ("mastodon.social", "mastodon.online"),
    "bluesky": ("bsky.app",),
    "tumblr": ("tumblr.com",),
    "quora": ("quora.com",),
    "vk": ("vk.com",),
    "weibo": ("weibo.com", "weibo.cn"),
    "hacker news": ("news.ycombinator.com",),
}
_MAIL = {
    "gmail": ("mail.google.com", "com.google.android.gm"),
    "outlook": ("outlook.live.com", "outlook.office.com", "outlook.office365.com", "com.microsoft.office.outlook"),
    "yahoo mail": ("mail.yahoo.com", "mail.yahoo.co.jp", "com.yahoo.mobile.client.android.mail"),
    "aol mail": ("mail.aol.com",),
    "gmx": ("navigator.gmx.net", "3c.gmx.net", "deref-gmx.net", "mail.gmx.com"),
    "web.de": ("navigator.web.de", "3c.web.de", "deref-web.de"),
    "t-online mail": ("email.t-online.de",),
    "proton mail": ("mail.proton.me",),
    "icloud mail": ("www.icloud.com",),
    "yandex mail": ("mail.yandex.ru", "mail.yandex.com"),
    "naver mail": ("mail.naver.com",),
}
# Links from these are neither searches nor posts; they only deserve a name.
_OTHERS = {
    "chatgpt": ("chatgpt.com", "chat.openai.com"),
    "perplexity": ("perplexity.ai",),
    "gemini": ("gemini.google.com",),
    "copilot": ("copilot.microsoft.com",),
    "claude": ("claude.ai",),
    "google accounts": ("accounts.google.com",),
    "google classroom": ("classroom.google.com",),
    "google docs": ("docs.google.com",),
}
_GROUPS: tuple[tuple[dict[str, tuple[str, ...]], Medium], ...] = (
    (_SEARCH, "organic"),
    (_SOCIAL, "social"),
    (_MAIL, "email"),
    (_OTHERS, "referral"),
)
HOSTS = {host: Known(name, medium) for group, medium in _GROUPS for name, hosts in group.items() for host in hosts}


@lru_cache(1024)
def known_host(host: str) -> Known | None:
    """Return what a host is known as, by the longest row that fits."""
    labels = host.split(".")
    for first in range(len(labels)):
        rest = labels[first:]
        if found := HOSTS.get(".".join(rest)):
            return found
        if _is_any_country(rest) and (found := HOSTS.get(f"{rest[0]}.*")):
            return found
    return None


def _is_any_country(labels: list[str]) -> bool:
    """Say whether behind the name stands a top-level domain, or such a pair as co.uk."""
    return len(labels) == 2 or (len(labels) == 3 and labels[1] in ("co", "com"))


def known_app(package: str) -> Known | None:
    """Return what an app for Android is known as."""
    return HOSTS.get(package)
