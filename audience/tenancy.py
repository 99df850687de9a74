"""For which advertiser we are acting, and the manager that keeps its rows to itself.

Promise: a query through `Model.objects` reads and writes rows of one advertiser only. Without an advertiser in
context it raises `NoAdvertiser`. `Model.all_advertisers` is the only way round; a test holds the list of its callers.
The database holds the same promise a second time: composite foreign keys (`audience.schema`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.db import models

_M = TypeVar("_M", bound=models.Model, covariant=True)
_advertiser_id: ContextVar[int | None] = ContextVar("advertiser_id", default=None)


class NoAdvertiser(RuntimeError):
    """A tenant's rows were asked for while nobody had said whose."""

    def __init__(self, model: str) -> None:
        super().__init__(f"{model} belongs to an advertiser. Wrap the call in `acting_for(advertiser_id)`.")


def current_advertiser_id() -> int | None:
    """Return the advertiser in context, or None."""
    return _advertiser_id.get()


@contextmanager
def acting_for(advertiser_id: int | None) -> Iterator[None]:
    """Act for one advertiser inside the block; None takes the advertiser away."""
    token = _advertiser_id.set(advertiser_id)
    try:
        yield
    finally:
        _advertiser_id.reset(token)


class TenantManager(models.Manager[_M]):
    """The default manager of a tenant's model: the rows of the advertiser in context."""

    def get_queryset(self) -> models.QuerySet[_M]:
        advertiser_id = current_advertiser_id()
        if advertiser_id is None:
            raise NoAdvertiser(self.model.__name__)
        return super().get_queryset().filter(advertiser_id=advertiser_id)

    def create(self, **fields: Any) -> _M:
        fields.setdefault("advertiser_id", current_advertiser_id())
        return super().create(**fields)


def advertiser_key(*, is_checked: bool = True) -> models.ForeignKey[Any, Any]:
    """Return the field that says whose row it is; unchecked where a composite key checks the advertiser anyway."""
    return models.ForeignKey(
        "audience.Advertiser",
        on_delete=models.PROTECT,
        related_name="+",
        editable=False,
        db_index=False,
        db_constraint=is_checked,
    )


class TenantModel(models.Model):
    """A row that belongs to one advertiser. It takes the advertiser in context when it is saved without one."""

    advertiser = advertiser_key()

    objects = TenantManager()
    all_advertisers = models.Manager()  # noqa: DJ012 -- a manager, not a field

    class Meta:
        abstract = True
        base_manager_name = "all_advertisers"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self._take_advertiser()
        super().save(*args, **kwargs)

    def full_clean(self, *args: Any, **kwargs: Any) -> None:
        self._take_advertiser()
        super().full_clean(*args, **kwargs)

    def _take_advertiser(self) -> None:
        if self.advertiser_id is None:
            advertiser_id = current_advertiser_id()
            if advertiser_id is None:
                raise NoAdvertiser(type(self).__name__)
            self.advertiser_id = advertiser_id
