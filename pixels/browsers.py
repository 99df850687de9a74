"""Whose browser a request comes from: what its cookies say, and whose host it asks (pixels.md 1.3)."""

from dataclasses import dataclass

from pixels import cookie
from pixels.catalogue import KnownAdvertiser, Picture
from pixels.cookie import Signer, Style
from pixels.steps import Browser, Request


@dataclass(frozen=True, slots=True)
class Cookies:
    """How this installation writes its cookie."""

    signer: Signer
    is_partitioned: bool = True
    is_plain_http: bool = False

    def style(self, *, is_first_party: bool) -> Style:
        if self.is_plain_http:
            return cookie.PLAIN_HTTP
        if is_first_party:
            return cookie.FIRST_PARTY
        return cookie.PARTITIONED if self.is_partitioned else cookie.UNPARTITIONED

    def read(self, request: Request, *, is_first_party: bool, today: int) -> Browser:
        """Return the browser's id, a new one where it sent none that is good (`today` in days since 1970-01-01)."""
        style = self.style(is_first_party=is_first_party)
        sent = cookie_values(request, style.name)
        for value in sent:
            known = self.signer.verify(value)
            if known is None or known.is_over(today):
                continue
            if known.key_id == self.signer.key_id:
                return Browser(known.random, is_known=True)
            renewed = self.signer.renew(known)
            header = style.header(self.signer.sign(renewed), renewed.minted_day, today)
            return Browser(known.random, is_known=True, set_cookie=header)
        new = self.signer.mint(today)
        header = style.header(self.signer.sign(new), today, today)
        return Browser(new.random, set_cookie=header, is_reminted=bool(sent))


def owner_of_host(request: Request, picture: Picture) -> KnownAdvertiser | None:
    """Return the advertiser of a first-party host; another advertiser's rows do not exist there."""
    host = request.headers.get("host") or ""
    return picture.first_party_hosts.get(host.partition(":")[0].lower().rstrip("."))


def cookie_values(request: Request, name: str) -> list[str]:
    """Return the values sent under one name. HTTP/1.1 has one Cookie line; others may have several."""
    first = request.headers.get("cookie")
    if first is None:
        return []
    return cookie.values_of(first, name) or cookie.values_of("; ".join(request.headers.get_all("cookie")), name)
