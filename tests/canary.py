"""Two advertisers with a row of everything, one of them full of a canary word that the other must never see.

Rows are made from the models themselves: a new model is in it without being named.
"""

import itertools
import json
import uuid
from collections.abc import Iterator
from datetime import date, time
from typing import Any

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from audience.models import Advertiser, Role, TeamMembership
from segments.models import RuleVersion, Segment

CANARY = "Zilpzalp"
NEVER_NUMBER = 999_999_999
NEVER_UUID = uuid.UUID("00000000-0000-7000-8000-00000000dead")
# Foreign ids are numbers that stand nowhere else on a page.
FIRST_FOREIGN_NUMBER = 777_000_001


def has_advertiser(model: type[models.Model]) -> bool:
    return any(field.name == "advertiser" for field in model._meta.fields)


def tenant_models() -> list[type[models.Model]]:
    """Return every model whose rows belong to an advertiser."""
    return [model for model in apps.get_models() if has_advertiser(model)]


class Flock:
    """One advertiser with a row of every model; `mark` stands in all its texts."""

    def __init__(self, mark: str, first_number: int | None = None) -> None:
        self.mark = mark
        self._numbers = itertools.count(first_number) if first_number else None
        self._words = itertools.count(1)
        self.rows: dict[type[models.Model], Any] = {}
        self.advertiser = self._make(Advertiser)
        self.user = User.objects.create(
            username=f"{mark}-user", email=f"{mark}@team.example", first_name=mark, last_name=mark, is_staff=True
        )
        for model in tenant_models():
            self.row(model)
        self.by_rule = self._segment_by_rule()
        TeamMembership.objects.filter(advertiser=self.advertiser).update(role=Role.OWNER)
        self._log()

    def row(self, model: type[models.Model]) -> Any:
        """Return the row of a model, making it and what it points to on first use."""
        if model not in self.rows:
            self._make(model)
        return self.rows[model]

    def _make(self, model: type[models.Model]) -> Any:
        values = {field.attname: self._value(field) for field in model._meta.local_fields if _is_filled(field)}
        row = model(**{name: value for name, value in values.items() if value is not _LEAVE})
        model._base_manager.bulk_create([row])
        self.rows[model] = model._base_manager.get(pk=row.pk)
        return self.rows[model]

    def rows_of(self, model: type[models.Model]) -> list[Any]:
        """Return every row of a model whose pages differ: segments are filled by pixels or by a rule."""
        return [self.row(model), *([self.by_rule] if model is Segment else [])]

    def _segment_by_rule(self) -> Segment:
        rule = json.dumps({"muster_rule": 1, "of": "profile", "rule": {"event": self.mark}})
        values = {"name": self.mark, "code": "by-rule", "kind": Segment.Kind.RULE, "advertiser": self.advertiser}
        if self._numbers:
            values["id"] = next(self._numbers)
        segment = Segment.all_advertisers.create(**values)
        of_it = {"advertiser": self.advertiser, "segment": segment, "author": self.user}
        states = RuleVersion.State
        for number, state in enumerate((states.SUPERSEDED, states.ACTIVE, states.BUILDING, states.FAILED), 1):
            RuleVersion.all_advertisers.create(number=number, rule=rule, state=state, failure=self.mark, **of_it)
        return segment

    def _value(self, field: Any) -> Any:
        if isinstance(field, models.ForeignKey):
            return self._pointer(field)
        if isinstance(field, models.AutoField | models.BigAutoField):
            return next(self._numbers) if self._numbers else _LEAVE
        if field.choices or field.name in ("is_direct", "deleted_at"):
            return field.get_default() if field.has_default() else (None if field.null else field.choices[0][0])
        for kind, make in _MAKERS:
            if isinstance(field, kind):
                return make(self, field)
        return _LEAVE

    def _pointer(self, field: Any) -> Any:
        target = field.remote_field.model
        if target is Advertiser:
            return self.advertiser.pk
        if target is User:
            return self.user.pk
        if target is field.model:
            return None
        return self.row(target).pk

    def word(self, field: Any) -> str:
        """Return a text with the mark, different each time, as long as the field takes; a valid one if it must be."""
        text = f"{self.mark}{next(self._words)}"[: field.max_length or 100]
        try:
            field.run_validators(text)
        except ValidationError:
            return "" if field.blank else str(field.get_default())
        return text

    def _log(self) -> None:
        for model in (*self.rows, User):
            LogEntry.objects.create(
                user=self.user,
                content_type=ContentType.objects.get_for_model(model),
                object_id=str(self.row(model).pk if model is not User else self.user.pk),
                object_repr=self.mark,
                action_flag=2,
                change_message=self.mark,
            )


_LEAVE = object()


def _is_filled(field: Any) -> bool:
    return isinstance(field, models.Field) and not isinstance(field, models.CompositePrimaryKey)


def _json(flock: Flock, field: Any) -> Any:
    return [{"text": flock.mark}] if field.get_default() == [] else {"text": flock.mark}


def _number(flock: Flock, field: Any) -> Any:
    if field.has_default():
        return field.get_default()
    return None if field.null else 1


_MAKERS: list[tuple[Any, Any]] = [
    (models.BooleanField, lambda flock, field: field.get_default() if field.has_default() else False),
    (models.JSONField, _json),
    (ArrayField, lambda flock, field: [flock.word(field.base_field)]),
    (models.UUIDField, lambda flock, field: uuid.uuid4()),
    (models.DateTimeField, lambda flock, field: None if field.null else timezone.now()),
    (models.DateField, lambda flock, field: date.today()),
    (models.TimeField, lambda flock, field: time(4)),
    (models.BinaryField, lambda flock, field: field.get_default()),
    (models.IntegerField | models.FloatField, _number),
    (models.CharField | models.TextField, lambda flock, field: flock.word(field)),
]


def never(row: models.Model) -> Any:
    """Return a key of the row's kind that no row has."""
    return NEVER_UUID if isinstance(row.pk, uuid.UUID) else NEVER_NUMBER


def everything_of(advertiser: Advertiser) -> dict[str, list[Any]]:
    """Return all that an advertiser has, to see afterwards that nothing of it has changed."""
    state = {
        model._meta.label: sorted(map(str, model._base_manager.filter(advertiser=advertiser).values_list()))
        for model in tenant_models()
    }
    state["advertiser"] = [str(Advertiser.objects.filter(pk=advertiser.pk).values_list().get())]
    return state


def pointers_across(first: Advertiser, second: Advertiser) -> Iterator[str]:
    """Yield each foreign key by which a row of the first points to a row of the second."""
    for model in tenant_models():
        for field in model._meta.local_fields:
            if not isinstance(field, models.ForeignKey) or not has_advertiser(field.related_model):
                continue
            theirs = field.related_model._base_manager.filter(advertiser=second).values("pk")
            if model._base_manager.filter(advertiser=first, **{f"{field.name}__in": theirs}).exists():
                yield f"{model._meta.label}.{field.name}"
