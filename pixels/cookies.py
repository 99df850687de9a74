"""The cookies of this installation: who a browser is, and whether it has opted out."""

from dataclasses import dataclass

from pixels import cookie
from pixels.cookie import Signer, Style
from pixels.steps import Browser

# As long as browsers keep a cookie; each fire renews it.
OPT_OUT_SECONDS = 400 * cookie.SECONDS_OF_A_DAY
OPTED_OUT = "1"


@dataclass(frozen=True, slots=True)
class Cookies:
    """How this installation writes its cookies; `line` is all that a request sent (`Request.cookies`)."""

    signer: Signer
    is_partitioned: bool = True
    is_plain_http: bool = False

    def style(self, *, is_first_party: bool) -> Style:
        if self.is_plain_http:
            return cookie.PLAIN_HTTP
        if is_first_party:
            return cookie.FIRST_PARTY
        return cookie.PARTITIONED if self.is_partitioned else cookie.UNPARTITIONED

    def read(self, line: str, *, is_first_party: bool, today: int) -> Browser:
        """Return the browser's id, a new one where it sent none that is good (`today` in days since 1970-01-01)."""
        style = self.style(is_first_party=is_first_party)
        sent = cookie.values_of(line, style.name)
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

    @property
    def opt_outs(self) -> tuple[Style, ...]:
        """The cookies by which a browser says no."""
        return cookie.PLAIN_OPT_OUTS if self.is_plain_http else cookie.OPT_OUTS

    def opt_outs_in(self, line: str) -> tuple[Style, ...]:
        """Return those of them that a browser has sent."""
        if "mopt" not in line:
            return ()
        return tuple(style for style in self.opt_outs if OPTED_OUT in cookie.values_of(line, style.name))
