"""What a marketer can do about each reason, and on which page (pixels.md 3.4)."""

from typing import NamedTuple

from django.urls import reverse

from pixels.models import Pixel
from pixels.reasons import Reason

PIXEL, TAG, SEGMENTS, ADVERTISER, PARTNERS = "pixel", "tag", "segments", "advertiser", "partners"
PAGE, NOBODY = "page", ""


class Cure(NamedTuple):
    """What to do, and where: a page of ours, the marketer's own page, or nowhere."""

    text: str
    where: str = NOBODY


_TAG_AGAIN = Cure("Get the tag again and place it anew.", TAG)
_CONSENT = Cure("The visitor decides; nothing is to be done.")
_CONSENT_TOOL = Cure("Look at the settings of your consent tool.", PAGE)
_LATER = Cure("Signatures come with a server; ask whoever places the tag.", PAGE)

CURES = {
    Reason.EMPTY: Cure("Say what the pixel adds or removes.", PIXEL),
    Reason.TOO_LONG: Cure("Shorten the tag.", PAGE),
    Reason.BAD_ENCODING: Cure("Write the tag's values in UTF-8, percent-encoded.", PAGE),
    Reason.REPEATED_PARAMETER: _TAG_AGAIN,
    Reason.TOO_MANY_SEGMENTS: Cure("Make two tags of it.", TAG),
    Reason.BAD_NUMBER: _TAG_AGAIN,
    Reason.BAD_CODE: _TAG_AGAIN,
    Reason.PERSONAL_DATA: Cure("Take e-mail addresses and phone numbers out of the tag.", PAGE),
    Reason.UNKNOWN_MEMBER: _TAG_AGAIN,
    Reason.MISSING_MEMBER: _TAG_AGAIN,
    Reason.UNKNOWN_PIXEL: _TAG_AGAIN,
    Reason.PIXEL_PAUSED: Cure("Set the pixel to active.", PIXEL),
    Reason.NO_COOKIE: Cure("Switch the cookie check off, or leave such browsers out.", ADVERTISER),
    Reason.BOT: Cure("Nothing is to be done: crawlers are left out."),
    Reason.RATE_LIMITED: Cure("Look whether the tag fires in a loop.", PAGE),
    Reason.BAD_PARTNER: Cure("Add the partner to your list.", PARTNERS),
    Reason.PARTNER_ID_TAKEN: Cure("Ask the partner why two browsers have one id.", PAGE),
    Reason.SIGNATURE_MISSING: _LATER,
    Reason.SIGNATURE_BAD: _LATER,
    Reason.SIGNATURE_EXPIRED: _LATER,
    Reason.SIGNATURE_REPLAYED: _LATER,
    Reason.SPOOL_DAMAGED: Cure("Tell your operator to look at the disk."),
    Reason.UNKNOWN_SEGMENT: Cure(
        "The segment was deleted, or the tag has a wrong number. Get the tag again.", SEGMENTS
    ),
    Reason.WRONG_KIND: Cure("Take the rule segment out of the pixel.", PIXEL),
    Reason.INACTIVE_SEGMENT: Cure("Set the segment to active.", SEGMENTS),
    Reason.DOMAIN_NOT_ALLOWED: Cure("Add the host to your domains, or to the segment's.", ADVERTISER),
    Reason.DOMAIN_MISSING: Cure("Let the page send its host: a referrer policy is in the way.", PAGE),
    Reason.SERVER_ONLY: Cure("Use the API, or let the segment take fires.", SEGMENTS),
    Reason.BAD_VALUE: Cure("Let the page fill in a whole number from 0, without a point.", PAGE),
    Reason.VALUE_OVERFLOW: Cure("Let the page fill in a smaller number.", PAGE),
    Reason.VALUE_OUT_OF_RANGE: Cure("Widen the segment's smallest and largest value.", SEGMENTS),
    Reason.PLACEHOLDER_LEFT: Cure("Let the page or the tag manager put its number there.", PAGE),
    Reason.BAD_LIFETIME: Cure("Write the time as 90m, 36h or 7d.", PAGE),
    Reason.OPTED_OUT: _CONSENT,
    Reason.CONSENT_DENIED: _CONSENT,
    Reason.TCF_MISSING: _CONSENT_TOOL,
    Reason.TCF_INVALID: _CONSENT_TOOL,
    Reason.TCF_OLD: _CONSENT_TOOL,
    Reason.TCF_PURPOSE: _CONSENT,
    Reason.TCF_VENDOR: _CONSENT_TOOL,
    Reason.TCF_NOT_DISCLOSED: _CONSENT_TOOL,
    Reason.GPP_OPT_OUT: _CONSENT,
    Reason.GPP_INVALID: _CONSENT_TOOL,
    Reason.USP_OPT_OUT: _CONSENT,
    Reason.GPC: _CONSENT,
    Reason.NO_SIGNAL: _CONSENT_TOOL,
    Reason.ERASED: _CONSENT,
}


def cures_for(pixel: Pixel | None) -> dict[str, dict[str, str]]:
    """Return every reason's cure with its link, as the live view's script needs it."""
    links = {
        SEGMENTS: reverse("admin:segments_segment_changelist"),
        ADVERTISER: reverse("admin:audience_advertiser_changelist"),
        PARTNERS: reverse("admin:pixels_partner_changelist"),
    }
    if pixel is not None and not pixel.is_direct:
        links[PIXEL] = reverse("admin:pixels_pixel_change", args=[pixel.pk])
        links[TAG] = reverse("admin:pixels_pixel_tag", args=[pixel.pk])
    return {
        reason.value: {"text": CURES[reason].text, "link": links.get(CURES[reason].where, "")} for reason in Reason
    }
