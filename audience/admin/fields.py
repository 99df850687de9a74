"""Form fields that speak a marketer's language: a number and a unit for minutes, a host a line for a list."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from audience.models import HostListField, OriginListField, RedirectHostListField

UNITS = ((1, "minutes"), (60, "hours"), (24 * 60, "days"))
MOST_LINES = 200


def in_words(minutes: int) -> str:
    """Return 43,200 as “30 days”: in the largest unit that gives a whole number."""
    number, unit = _split(minutes)
    name = dict(UNITS)[unit]
    return f"{number:,} {name if number != 1 else name.removesuffix('s')}"


def _split(minutes: int) -> tuple[int, int]:
    unit = max(size for size, _ in UNITS if minutes % size == 0)
    return minutes // unit, unit


class LifetimeWidget(forms.MultiWidget):
    """A number, and minutes, hours or days beside it."""

    template_name = "admin/widgets/lifetime.html"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        number = UnfoldAdminIntegerFieldWidget({"min": 1, "inputmode": "numeric", "aria-label": "How many"})
        unit = UnfoldAdminSelectWidget({"aria-label": "Unit"}, choices=UNITS)
        super().__init__((number, unit), attrs)

    def decompress(self, value: int | None) -> list[int | None]:
        return list(_split(value)) if value else [None, UNITS[-1][0]]


class LifetimeField(forms.MultiValueField):
    """A span of time in minutes, written as a number and a unit."""

    def __init__(self, **kwargs: Any) -> None:
        for name in ("min_value", "max_value"):
            kwargs.pop(name, None)
        validators = kwargs.pop("validators", [])
        kwargs["widget"] = LifetimeWidget()
        # The unit always comes, the number may be left out: whether it may is asked in `compress`.
        number = forms.IntegerField(required=False, error_messages={"invalid": "Write a whole number."})
        unit = forms.TypedChoiceField(choices=UNITS, coerce=int)
        super().__init__(fields=(number, unit), require_all_fields=False, **kwargs)
        self.validators = [*self.validators, *validators]

    def compress(self, values: list[Any]) -> int | None:
        if not values or values[0] is None:
            if self.required:
                raise ValidationError(self.error_messages["required"], code="required")
            return None
        number, unit = values
        if not 1 <= number <= 1_000_000:
            raise ValidationError("Write a number from 1 to 1,000,000.")
        return int(number) * int(unit or UNITS[-1][0])

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except ValidationError:
            return True


class LinesField(forms.CharField):
    """A list, one entry a line; what was pasted is brought into the form of an entry."""

    placeholder = ""
    of_what = "entries"
    entry: Any  # the model field of one entry, which checks it

    def __init__(self, **kwargs: Any) -> None:
        for name in ("base_field", "max_length"):
            kwargs.pop(name, None)
        attrs = {"rows": 3, "placeholder": self.placeholder, "spellcheck": "false"}
        kwargs["widget"] = UnfoldAdminTextareaWidget(attrs)
        super().__init__(**kwargs)

    def entry_in(self, word: str) -> str:
        """Return the entry that somebody means."""
        raise NotImplementedError

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        words = re.split(r"[\s,;]+", super().to_python(value) or "")
        return list(dict.fromkeys(self.entry_in(word) for word in words if word))

    def validate(self, value: Any) -> None:
        super().validate(value)
        if len(value) > MOST_LINES:
            raise ValidationError(f"These are {len(value)} {self.of_what}; the list takes {MOST_LINES}.")

    def run_validators(self, value: Iterable[str]) -> None:
        for one in value:
            try:
                self.entry.run_validators(one)
            except ValidationError as error:
                raise ValidationError(f"“{one}”: {error.messages[0]}") from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(list(initial or []) != self.to_python(data))


class HostLinesField(LinesField):
    """A list of hosts; an address that was pasted is cut to its host."""

    placeholder = "shop.example\n*.shop.example"
    of_what = "hosts"
    entry = HostListField().base_field

    def entry_in(self, word: str) -> str:
        return _host_in(word)


class RedirectHostLinesField(HostLinesField):
    """A list of hosts that browsers may be sent to."""

    placeholder = "ad.partner.example\n*.partner.example"
    entry = RedirectHostListField().base_field


class OriginLinesField(LinesField):
    """A list of origins; an address that was pasted is cut to its origin, and a host alone means https."""

    placeholder = "https://shop.example"
    of_what = "origins"
    entry = OriginListField().base_field

    def entry_in(self, word: str) -> str:
        try:
            parts = urlsplit(word if "://" in word else f"https://{word}")
        except ValueError:
            return word
        place = parts.netloc.rpartition("@")[2].lower()
        usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
        return f"{parts.scheme}://{place.removesuffix(usual) if usual else place}"


def _host_in(word: str) -> str:
    host = urlsplit(word).netloc if "://" in word else word
    return host.partition("/")[0].rpartition("@")[2].partition(":")[0].lower().rstrip(".")
