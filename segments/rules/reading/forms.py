"""Objects of the JSON: which keys one may have, and what a key that is not there, or is wrong, stands for.

What is wrong is reported and stood in for by something harmless, so that reading goes on; `rules.read` then throws
the tree away. No stand-in ever leaves it.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from segments.rules.catalogue import Catalogue
from segments.rules.limits import Limits
from segments.rules.refusals import Report, did_you_mean
from segments.rules.tree import Of, Path


class Repeating(dict[str, Any]):
    """An object of the JSON text, with the keys that stand in it more than once."""

    repeated: tuple[str, ...] = ()


def load(text: str, report: Report, limits: Limits) -> Any:
    """Return what a JSON text says: numbers that are not whole as decimals, objects as `Repeating`; None if none."""
    if len(text.encode("utf-8", "replace")) > limits.saved_bytes:
        report.refuse((), "too_many", found=len(text), things="bytes", most=limits.saved_bytes)
        return None
    try:
        found = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object)
        texts = list(_texts(found, ()))
    except (ValueError, ArithmeticError, RecursionError) as error:
        why = str(error).partition(": line")[0] or type(error).__name__
        line = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        report.refuse((), "not_json", why=f"{why}{line}")
        return None
    for path, said in texts:
        if "\0" in said or any("\ud800" <= sign <= "\udfff" for sign in said):
            report.refuse(path, "bad_text")
    return found if not report.problems else None


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _object(pairs: list[tuple[str, Any]]) -> Repeating:
    found = Repeating(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        found.repeated = tuple(key for key in times if times[key] > 1)
    return found


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _texts(child, (*path, index))
    elif isinstance(value, dict):
        for key, child in value.items():
            yield path, key
            yield from _texts(child, (*path, key))


@dataclass(frozen=True)
class Scope:
    """Where reading is: in a rule of whom, how deep, and which crossings between people and companies led here."""

    report: Report
    limits: Limits
    catalogue: Catalogue
    of: Of
    depth: int = 1
    crossings: tuple[str, ...] = ()

    def deeper(self) -> "Scope":
        return replace(self, depth=self.depth + 1)

    def across(self, key: str, of: Of) -> "Scope":
        return replace(self.deeper(), of=of, crossings=(*self.crossings, key))

    def refuse_beyond_retention(self, path: Path, days: int) -> None:
        """Refuse a window that asks for events which are forgotten by then."""
        kept = self.catalogue.retention_days()
        if kept is not None and days > kept:
            self.report.refuse(path, "beyond_retention", kept=kept, asked=days)


class Form:
    """One object, at a place of the rule, of which only `keys` may be there; the others are refused."""

    def __init__(self, source: Mapping[str, Any], path: Path, scope: Scope, keys: Collection[str]) -> None:
        self.source = source
        self.path = path
        self.scope = scope
        self.unknown = [key for key in source if key not in keys]
        self._keys = keys
        for key in getattr(source, "repeated", ()):
            scope.report.refuse((*path, key), "repeated_key", key=key)

    def at(self, key: str) -> Path:
        return (*self.path, key)

    def refuse(self, key: str, code: str, **values: object) -> None:
        self.scope.report.refuse(self.at(key), code, **{"key": key, **values})

    def refuse_unknown(self) -> None:
        """Call it once, after `unknown` has been read by whoever has a better message for them."""
        for key in self.unknown:
            known = [key for key in self._keys if key not in self.source]
            self.refuse(key, "unknown_key", hint=did_you_mean(key, known))

    def __contains__(self, key: str) -> bool:
        return key in self.source

    def text(self, key: str, default: str = "", *, most: int | None = None) -> str:
        """Return a text that is not blank."""
        if key not in self.source:
            return default
        value = self.source[key]
        if not isinstance(value, str) or not value.strip():
            self.refuse(key, "wrong_value", needs="a text")
            return default
        most = self.scope.limits.text if most is None else most
        if len(value) > most:
            self.refuse(key, "too_many", found=len(value), things="characters", most=most)
        return value

    def word(self, key: str, words: Sequence[str], default: str) -> str:
        """Return one of a few words."""
        value = self.source.get(key, default)
        if isinstance(value, str) and value in words:
            return value
        listed = ", ".join(f"'{word}'" for word in words)
        self.refuse(key, "wrong_value", needs=f"one of {listed}")
        return words[0]

    def truth(self, key: str, *, default: bool = False) -> bool:
        value = self.source.get(key, default)
        if isinstance(value, bool):
            return value
        self.refuse(key, "wrong_value", needs="true or false")
        return default

    def children(self, key: str) -> list[Any]:
        """Return a list with at least one element; an empty one is refused by the caller, in its words."""
        value = self.source.get(key, [])
        if isinstance(value, list):
            return value
        self.refuse(key, "not_a_list")
        return []

    def number(self, key: str, least: Decimal, most: Decimal) -> Decimal:
        value = self.source.get(key)
        number = number_of(value, self.scope.limits)
        if number is None or not least <= number <= most:
            self.refuse(key, "wrong_value", needs=f"a number from {least} to {most}")
            return least
        return number


def open_form(value: Any, path: Path, scope: Scope, keys: Collection[str]) -> Form:
    """Return the form of a value that must be an object."""
    if isinstance(value, dict):
        return Form(value, path, scope, keys)
    scope.report.refuse(path, "not_an_object", found=kind_of(value))
    return Form({}, path, scope, keys)


def kind_of(value: Any) -> str:
    """Return what people call a JSON value."""
    for types, words in (
        (bool, "true or false"),
        (str, "a text"),
        ((int, Decimal), "a number"),
        (list, "a list"),
        (dict, "an object"),
    ):
        if isinstance(value, types):
            return words
    return "null"


def number_of(value: Any, limits: Limits) -> Decimal | None:
    """Return a JSON number as a decimal of few enough digits, or None."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    with suppress(ArithmeticError, ValueError):
        number = Decimal(value)
        digits = number.as_tuple().digits
        if len(digits) <= limits.digits and abs(number.adjusted()) <= limits.digits:
            return number if number else Decimal(0)
    return None
