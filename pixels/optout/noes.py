"""What a browser's no comes to: which cookies it gets, and which identifiers are given up (pixels.md 1.10).

The id that a browser holds is read for this alone. On the pixel host it is given up by every advertiser, on a
first-party host by the one whose host that is.
"""

from collections.abc import Collection, Sequence

from audience.identity import Key
from pixels import cookie
from pixels.catalogue import KnownAdvertiser, Picture
from pixels.cookie import Style
from pixels.cookies import OPT_OUT_SECONDS, OPTED_OUT, Cookies
from pixels.steps import No


def said_before(
    cookies: Cookies, line: str, picture: Picture, host_owner: KnownAdvertiser | None, told: str | None = None
) -> No | None:
    """Return the no of a browser whose cookies say so, None for all others. The cookie that came is renewed.

    `line` holds its cookies; `told` is the signed id that its page has kept for it.
    """
    sent = cookies.opt_outs_in(line)
    if not sent:
        return None
    style = cookies.style(is_first_party=host_owner is not None)
    values = cookie.values_of(line, style.name)
    gone = [style.line("", 0)] if values else []
    return _no(cookies, sent, gone, _keys(cookies, [*values, told], picture, host_owner))


def say(
    cookies: Cookies, line: str, picture: Picture, host_owner: KnownAdvertiser | None, told: str | None = None
) -> No:
    """Return the no of a browser that opts out now."""
    style = cookies.style(is_first_party=host_owner is not None)
    values = cookie.values_of(line, style.name)
    keys = _keys(cookies, [*values, told], picture, host_owner)
    return _no(cookies, cookies.opt_outs, [style.line("", 0)], keys)


def _no(cookies: Cookies, kept: Sequence[Style], gone: Sequence[str], keys: tuple[Key, ...]) -> No:
    return No((*(style.line(OPTED_OUT, OPT_OUT_SECONDS) for style in kept), *gone), keys)


def _keys(
    cookies: Cookies, values: Collection[str | None], picture: Picture, host_owner: KnownAdvertiser | None
) -> tuple[Key, ...]:
    known = [cookies.signer.verify(value) for value in values if value]
    randoms = {one.random for one in known if one is not None}
    owners = picture.advertisers.values() if host_owner is None else [host_owner]
    return tuple(
        Key(owner.id, "browser", cookie.stored_id(owner.id_key, random)) for random in randoms for owner in owners
    )
