"""The base of what goes in and out: fields are closed lists, and every related row is the advertiser's own."""

import copy
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.db.models import Manager, Model, QuerySet
from rest_framework import serializers
from rest_framework.fields import get_error_detail

from audience.api.views import rows_of
from audience.tenancy import TenantModel


class OwnRow(serializers.PrimaryKeyRelatedField[Any]):
    """A row of the advertiser, by its id. Another's id is refused in the words for one that never was."""

    default_error_messages = {
        "does_not_exist": "You have nothing with this id.",
        "incorrect_type": "Write the id as a number.",
    }

    def get_queryset(self) -> QuerySet[Any] | None:
        offered: QuerySet[Any] | Manager[Any] | None = vars(self)["queryset"]
        if offered is None:  # the field is only read
            return None
        model = offered.model
        if not issubclass(model, TenantModel):
            raise TypeError(f"{model.__name__} belongs to no advertiser; the API offers no rows of it.")
        return rows_of(model)

    def to_internal_value(self, sent: Any) -> Any:
        if not isinstance(sent, int) or isinstance(sent, bool):
            self.fail("incorrect_type")
        return super().to_internal_value(sent)


class ClosedSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not have; one that is only read is taken and left as it is."""

    def to_internal_value(self, sent: Any) -> Any:
        if isinstance(sent, Mapping):
            unknown = [name for name in sent if name not in self.fields]
            if unknown:
                raise serializers.ValidationError({str(name): ["There is no such field."] for name in unknown})
        return super().to_internal_value(sent)


class RowSerializer(ClosedSerializer, serializers.ModelSerializer[Any]):
    """A row as JSON. It is checked by the model's own `full_clean`, as in the admin."""

    serializer_related_field = OwnRow

    def validate(self, attributes: dict[str, Any]) -> dict[str, Any]:
        model: type[Model] = self.Meta.model
        row = copy.copy(self.instance) if isinstance(self.instance, Model) else model()
        own = {field.name for field in model._meta.concrete_fields}
        for name, value in attributes.items():
            if name in own:
                setattr(row, name, value)
        try:
            self.check(row)
        except ModelError as error:
            raise serializers.ValidationError(get_error_detail(error)) from None
        return attributes

    def check(self, row: Model) -> None:
        """Raise Django's `ValidationError` where the row, as it would be saved, is not as it must be."""
        row.full_clean(exclude=self._set_by_the_view(type(row)))

    def _set_by_the_view(self, model: type[Model]) -> set[str]:
        """The keys that are not sent, such as an action's pixel. The advertiser is in context, and is checked."""
        keys = {field.name for field in model._meta.concrete_fields if field.is_relation and not field.blank}
        return keys - set(self.fields) - {"advertiser"}
