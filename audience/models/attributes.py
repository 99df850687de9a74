"""What is told of people and companies, and who belongs to which company."""

from django.db import models

from audience.models.people import Profile
from audience.tenancy import TenantModel, advertiser_key


class _Told(TenantModel):
    """The value of an attribute: the newest that was told, see `audience.attributes`."""

    name = models.CharField(max_length=255)
    value = models.JSONField()
    # When it took this value, when that was told last, and by which message.
    since = models.DateTimeField()
    seen_at = models.DateTimeField()
    fact_id = models.UUIDField()
    # When another value was told last.
    other_at = models.DateTimeField(null=True)
    # Whence: the row of the write key, where it was one, and the kind of message.
    source_id = models.BigIntegerField(null=True)
    source_kind = models.CharField(max_length=10)

    class Meta(TenantModel.Meta):
        abstract = True

    def __str__(self) -> str:
        return self.name


class Attribute(_Told):
    """What is known of a profile."""

    pk = models.CompositePrimaryKey("profile_id", "name")
    advertiser = advertiser_key(is_checked=False)
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )


class Touch(TenantModel):
    """Where a profile came from first or last, see `audience.touches`."""

    class Which(models.TextChoices):
        FIRST = "first", "First"
        LAST = "last", "Last"

    pk = models.CompositePrimaryKey("profile_id", "which")
    advertiser = advertiser_key(is_checked=False)
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    which = models.CharField(max_length=5, choices=Which.choices)
    is_known = models.BooleanField()
    at = models.DateTimeField()
    fact_id = models.UUIDField()
    # The fields of `source` in rules.md 1.5 that are known, such as {"medium": "cpc", "name": "google"}.
    source = models.JSONField()

    def __str__(self) -> str:
        return f"{self.which} {self.at:%Y-%m-%d}"


class Account(TenantModel):
    """A company that profiles belong to. Its key is a hash of the advertiser and the key that it is known by."""

    id = models.UUIDField(primary_key=True, editable=False)
    key = models.CharField(max_length=320)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["advertiser", "id"], name="account_of_advertiser")]

    def __str__(self) -> str:
        return self.key


class AccountAttribute(_Told):
    """What is known of an account."""

    pk = models.CompositePrimaryKey("account_id", "name")
    advertiser = advertiser_key(is_checked=False)
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )


class AccountMember(TenantModel):
    """A profile belongs to an account, since it was first said."""

    pk = models.CompositePrimaryKey("profile_id", "account_id")
    advertiser = advertiser_key(is_checked=False)
    profile = models.ForeignKey(
        Profile, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    since = models.DateTimeField()

    class Meta(TenantModel.Meta):
        indexes = [models.Index(fields=["account", "profile"], name="people_of_account")]

    def __str__(self) -> str:
        return f"{self.profile_id} of {self.account_id}"


class AttributeName(TenantModel):
    """A name that an attribute of an advertiser's profiles or accounts has: there are up to 1,000 of each."""

    class Of(models.TextChoices):
        PROFILE = "profile", "profiles"
        ACCOUNT = "account", "accounts"

    of = models.CharField(max_length=10, choices=Of.choices)
    name = models.CharField(max_length=255)
    first_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [models.UniqueConstraint(fields=["advertiser", "of", "name"], name="attribute_name_once")]

    def __str__(self) -> str:
        return self.name
