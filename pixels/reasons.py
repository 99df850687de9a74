"""How a fire can end: outcomes, reasons and notes, each with its sentence for the marketer.

Closed lists, as pixels.md 1.1, 1.4 and 1.6 write them; a test compares them with the documentation.
"""

from django.db.models import TextChoices


class Outcome(TextChoices):
    APPLIED = "applied", "Done."
    DUPLICATE = "duplicate", "The same event id came before; nothing was done again."
    REJECTED = "rejected", "Refused."
    SUPPRESSED = "suppressed", "Left out, because the visitor said no."
    PENDING = "pending", "Kept safe while the database was away; it will be done in order."


class Reason(TextChoices):
    # request
    EMPTY = "empty", "The tag names no segment to add or remove, and no id."
    TOO_LONG = (
        "too_long",
        "The request was longer than 8,192 bytes, or brought more than 10 ids or one of more than 256 characters.",
    )
    BAD_ENCODING = "bad_encoding", "The request held characters that are not valid text."
    REPEATED_PARAMETER = "repeated_parameter", "A parameter that may come once came twice."
    TOO_MANY_SEGMENTS = "too_many_segments", "The tag names more than 100 segments."
    BAD_NUMBER = "bad_number", "A segment or member number is not a whole number above 0."
    BAD_CODE = "bad_code", "A segment code has other signs than letters, digits, - and _."
    PERSONAL_DATA = "personal_data", "An e-mail address or phone number stood in the tag. It was not stored."
    # who
    UNKNOWN_MEMBER = "unknown_member", "No advertiser has this member number."
    MISSING_MEMBER = "missing_member", "A tag with segment codes or ids needs member=… with your number."
    UNKNOWN_PIXEL = "unknown_pixel", "No pixel has this key or number. Get the tag again."
    PIXEL_PAUSED = "pixel_paused", "This pixel is paused or was deleted."
    NO_COOKIE = "no_cookie", "The browser keeps no cookie of ours, or a server named one that is not known."
    BOT = "bot", "A crawler or a page that was only loaded ahead, not a visitor."
    RATE_LIMITED = "rate_limited", "Too many fires in a minute from one browser or network address."
    BAD_PARTNER = "bad_partner", "This partner is not in your list."
    PARTNER_ID_TAKEN = "partner_id_taken", "This partner id belongs to another person."
    SIGNATURE_MISSING = "signature_missing", "This needs a signature, and none came."
    SIGNATURE_BAD = "signature_bad", "The signature does not fit the request."
    SIGNATURE_EXPIRED = "signature_expired", "The signature is too old, or too far ahead."
    SIGNATURE_REPLAYED = "signature_replayed", "This one-time signature was used before."
    SPOOL_DAMAGED = "spool_damaged", "The record was damaged on disk while the database was away."
    # segment
    UNKNOWN_SEGMENT = "unknown_segment", "You have no segment with this number or code."
    WRONG_KIND = "wrong_kind", "Members of a rule segment follow from its rule; a pixel cannot change them."
    INACTIVE_SEGMENT = "inactive_segment", "The segment is switched off."
    DOMAIN_NOT_ALLOWED = "domain_not_allowed", "The page's host is not in the list of domains."
    DOMAIN_MISSING = "domain_missing", "The browser did not say which page it was on."
    SERVER_ONLY = "server_only", "Only the API and uploads may change this segment."
    # amount
    BAD_VALUE = "bad_value", "The value is not a whole number from 0."
    VALUE_OVERFLOW = "value_overflow", "The value is above 2,147,483,647."
    VALUE_OUT_OF_RANGE = "value_out_of_range", "The value is outside the range that the segment takes."
    PLACEHOLDER_LEFT = (
        "placeholder_left",
        "A placeholder such as [VALUE] was left in the tag. Fill it on the page.",
    )
    BAD_LIFETIME = "bad_lifetime", "The lifetime cannot be read. Write 90m, 36h or 7d."
    # consent
    OPTED_OUT = "opted_out", "The visitor has opted out."
    CONSENT_DENIED = "consent_denied", "The page said that the visitor does not consent."
    TCF_MISSING = "tcf_missing", "GDPR applies and no consent string came."
    TCF_INVALID = "tcf_invalid", "The consent string cannot be read."
    TCF_OLD = "tcf_old", "The consent is older than 13 months."
    TCF_PURPOSE = "tcf_purpose", "The consent does not cover the purposes needed."
    TCF_VENDOR = "tcf_vendor", "The consent does not cover us."
    TCF_NOT_DISCLOSED = "tcf_not_disclosed", "The consent dialogue did not name us."
    GPP_OPT_OUT = "gpp_opt_out", "The visitor has opted out by the Global Privacy Platform."
    GPP_INVALID = "gpp_invalid", "The Global Privacy Platform string cannot be read."
    USP_OPT_OUT = "usp_opt_out", "The visitor has opted out by the US privacy string."
    GPC = "gpc", "The browser sends Global Privacy Control."
    NO_SIGNAL = "no_signal", "No consent came, and your policy asks for one."
    ERASED = "erased", "This person asked to be erased."


# A fire with one of these is suppressed, with any other reason it is rejected.
SUPPRESSING = frozenset(
    {
        *(Reason.OPTED_OUT, Reason.CONSENT_DENIED),
        *(Reason.TCF_MISSING, Reason.TCF_INVALID, Reason.TCF_OLD),
        *(Reason.TCF_PURPOSE, Reason.TCF_VENDOR, Reason.TCF_NOT_DISCLOSED),
        *(Reason.GPP_OPT_OUT, Reason.GPP_INVALID, Reason.USP_OPT_OUT, Reason.GPC),
        *(Reason.NO_SIGNAL, Reason.ERASED),
    }
)


class Note(TextChoices):
    LIFETIME_SHORTENED = "lifetime_shortened", "The tag asked for longer than the segment allows."
    VALUE_CAPPED = "value_capped", "The sum reached the largest value there is."
    REMOVE_WINS = "remove_wins", "The segment stood in add and in remove; it was removed."
    NOT_A_MEMBER = "not_a_member", "There was nothing to remove."
    OLDER_THAN_LAST = "older_than_last", "A later fire had decided already."
    PARAMETER_IGNORED = "parameter_ignored", "The pixel's own settings count, not this parameter."
    REDIRECT_NOT_ALLOWED = "redirect_not_allowed", "The redirect goes to a host that is not in your list."
    WOULD_BE_REFUSED = "would_be_refused", "Refused as soon as you enforce your domains."
    ID_REMINTED = "id_reminted", "The browser's cookie was not ours or too old; it got a new one."
    SIGNAL_CONFLICT = "signal_conflict", "Two consent signals differ."
    SIGNAL_IGNORED = "signal_ignored", "A consent signal could not be read."
    PLACEHOLDER_LEFT = "placeholder_left", "A placeholder was left in the tag."
    DUPLICATE_ORDER = "duplicate_order", "This order came before."
    BAD_REVENUE = "bad_revenue", "The revenue cannot be read."
    DRY_RUN = "dry_run", "A test; nothing was changed."
    LATE = "late", "It waited on disk while the database was away."
