"""Regular expressions: the part that PostgreSQL and Python read alike, and that needs no going back.

Letters and signs, `.`, `^` and `$` (of the whole text), sets such as [a-z], the sets \\d \\w \\s of ASCII and their
opposites, groups, `|`, and `*` `+` `?` `{2}` `{2,}` `{2,5}`. Neither look-around nor back-references.
"""

import re

MOST_REPEATS = 255  # PostgreSQL's
# So many signs a pattern may have with its repeats written out: PostgreSQL gives up at some hundred thousand, and the
# statement with it.
LARGEST = 10_000

_SET = r"\[\^?(?:[^\[\]\\^]|\\[dws]|\\[^\w\s])(?:[^\[\]\\]|\\[dws]|\\[^\w\s])*\]"
_TOKENS = re.compile(
    rf"""
    (?P<repeat>[*+?]|\{{[0-9]{{1,3}}(?:,(?:[0-9]{{1,3}})?)?\}})
    | (?P<anchor>[\^$])
    | (?P<open>\((?:\?:|(?!\?)))
    | (?P<close>\))
    | (?P<or>\|)
    | (?P<atom>{_SET}|\\[dwsDWS]|\\[^\w\s]|[^\[\]\\(){{}}*+?|^$])
    """,
    re.VERBOSE | re.ASCII,
)


def fold(pattern: str) -> str:
    """Return the pattern in lower case, to be found in text in lower case; `\\D` is no letter and stays."""
    return re.sub(r"\\.|[^\\]+", lambda part: part[0] if part[0][0] == "\\" else part[0].lower(), pattern, flags=re.S)


def problem_of(pattern: str) -> str | None:
    """Return what is wrong with a pattern, as the end of a sentence, or None."""
    at, before, depth = 0, "start", 0
    while at < len(pattern):
        token = _TOKENS.match(pattern, at)
        if token is None:
            return f"cannot be read from {pattern[at : at + 12]!r} on"
        kind = token.lastgroup or ""
        # A second sign after a repeat only says greedy or not: `a+?` finds in the same texts.
        is_lazy = kind == "repeat" and before == "repeat" and token[0] == "?"
        if kind == "repeat" and before not in ("atom", "close") and not is_lazy:
            return f"repeats nothing with {token[0]!r}"
        depth += (kind == "open") - (kind == "close")
        if depth < 0:
            break
        at, before = token.end(), "lazy" if is_lazy else kind
    if depth:
        return "has a bracket without its other one"
    if _size(pattern) > LARGEST:
        return "repeats too much within repeats"
    return _problem_of_numbers(pattern)


def _size(pattern: str) -> int:
    """Return how many signs a pattern has with its repeats written out; it is known to be read from end to end."""
    sizes, last = [0], 0
    for token in _TOKENS.finditer(pattern):
        kind = token.lastgroup
        if kind == "repeat":
            numbers = [int(number) for number in re.findall("[0-9]+", token[0])]
            sizes[-1] += last * (max(numbers, default=1) - 1)
            last *= max(numbers, default=1)
        elif kind == "open":
            sizes.append(0)
        elif kind == "close":
            last = sizes.pop()
            sizes[-1] += last
        else:
            last = 1
            sizes[-1] += 1
    return sizes[0]


def _problem_of_numbers(pattern: str) -> str | None:
    if any(int(number) > MOST_REPEATS for number in re.findall(r"(?<=[{,])\d+(?=[,}])", pattern)):
        return f"repeats more than {MOST_REPEATS} times"
    try:
        # Ranges such as [z-a]; both forms, since one of them is what will be run.
        re.compile(pattern, re.ASCII)
        re.compile(fold(pattern), re.ASCII)
    except re.error as error:
        return f"cannot be read: {error.msg}"
    return None
