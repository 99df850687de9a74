"""E-mail addresses and phone numbers in a tag: such a fire is refused, and nothing of the text is stored.

Numbers of segments, values, event ids and order numbers are looked at for e-mail addresses only: a long number is no
phone number. The patterns have no part that could match the same text in two ways, so they take linear time.
"""

import re
from collections.abc import Mapping

from audience.personal import holds_email, holds_international_phone

# 0170 1234567, 0044 20 7946 0958 (not 000123…, a padded number), 202-555-0123, (202) 555-0123
_NATIONAL = re.compile(
    r"(?<![\w.:-])\(?0(?!00)(?:[ ()/-]{0,2}[0-9]){8,14}(?![\w:])"
    r"|(?<![\w.:-])\(?[2-9][0-9]{2}\)?[ -]{1,2}[2-9][0-9]{2}[ -][0-9]{4}(?![\w:])"
)


def holds_personal_data(query: str, values: Mapping[str, str]) -> bool:
    """Say whether a query names a person: an e-mail address in any parameter, a phone number in a free text."""
    if ("@" in query or "%40" in query) and holds_email(query):
        return True
    other = values.get("other")
    if other and (holds_international_phone(other) or _NATIONAL.search(other)):
        return True
    return any(name in values and holds_international_phone(values[name]) for name in ("pg", "user"))
