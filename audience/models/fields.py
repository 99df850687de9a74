"""Fields and checks of an advertiser's settings: hosts, origins, time zones, countries."""

import re
from zoneinfo import available_timezones

import phonenumbers
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

_CURRENCY = re.compile("[A-Z]{3}")  # ISO 4217; which of these there are is not ours to know
_HOST_PATTERN = RegexValidator(
    r"^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    "Write a host name such as shop.example, or *.shop.example for all hosts below it.",
)


_ORIGIN_PATTERN = RegexValidator(
    r"^https?://([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?(:[0-9]{1,5})?$",
    "Write an origin such as https://shop.example, without a path.",
)


def check_time_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(f"“{name}” is no time zone. Write one such as Europe/Berlin.")


def check_country(code: str) -> None:
    if code.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError(f"“{code}” is no country. Write two letters such as DE.")


def check_currency(code: str) -> None:
    if not _CURRENCY.fullmatch(code.upper()):
        raise ValidationError(f"“{code}” is no currency. Write three letters such as EUR.")


class HostListField(ArrayField):  # type: ignore[type-arg]  # generic only in the stubs
    """A list of host names in lower case; `*.host` stands for all hosts below it."""

    def __init__(self, **kwargs: object) -> None:
        kwargs.setdefault("default", list)
        kwargs.setdefault("blank", True)
        kwargs["base_field"] = models.CharField(max_length=253, validators=[_HOST_PATTERN])
        super().__init__(**kwargs)  # type: ignore[arg-type]

    def deconstruct(self) -> tuple[str, str, list[object], dict[str, object]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("base_field", None)
        return name, path, list(args), kwargs


def _check_is_name(host: str) -> None:
    if host.rpartition(".")[2].isdigit():
        raise ValidationError("Write the name of a host, not its address.")


class RedirectHostListField(HostListField):
    """A list of hosts that browsers may be sent to: names, because the same address can be written in many ways."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.base_field.validators.append(_check_is_name)


class OriginListField(ArrayField):  # type: ignore[type-arg]  # generic only in the stubs
    """A list of exact origins, as browsers send them: scheme, host in lower case, port where it is unusual."""

    def __init__(self, **kwargs: object) -> None:
        kwargs.setdefault("default", list)
        kwargs.setdefault("blank", True)
        kwargs["base_field"] = models.CharField(max_length=267, validators=[_ORIGIN_PATTERN])
        super().__init__(**kwargs)  # type: ignore[arg-type]

    def deconstruct(self) -> tuple[str, str, list[object], dict[str, object]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("base_field", None)
        return name, path, list(args), kwargs
