"""By what programs come in: tokens of the API, write keys of the door."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from audience.models.advertiser import Role
from audience.tenancy import TenantModel


class ApiToken(TenantModel):
    """An integration's key to the API. The token is shown once; only its SHA-256 is stored."""

    name = models.CharField(max_length=100, help_text="Who uses it, for example “CRM sync”.")
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    may_see_people = models.BooleanField(default=False, help_text="May read profiles and download files.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta(TenantModel.Meta):
        verbose_name = "API token"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class ApiCalls(models.Model):
    """How many calls a token has made in its latest minute: one row a token, see `audience.api.limits`."""

    token = models.OneToOneField(ApiToken, on_delete=models.CASCADE, primary_key=True, related_name="+")
    minute = models.DateTimeField()
    calls = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.calls} at {self.minute:%H:%M}"


class WriteKey(TenantModel):
    """What the HTTP API knows a sender by: a public key stands in pages, a server key is shown once.

    Of a server key only the SHA-256 is stored, see `audience.writekeys`; a public key is no secret.
    """

    class Kind(models.TextChoices):
        PUBLIC = "public", "Public: stands in pages and apps, speaks for its own browser only"
        SERVER = "server", "Server: is kept secret, speaks for everybody"

    name = models.CharField(max_length=100, help_text="Who sends with it, for example “Shop pages”.")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PUBLIC)
    public_key = models.CharField(max_length=40, null=True, unique=True, editable=False)  # noqa: DJ001 -- unique
    prefix = models.CharField(max_length=12, null=True, unique=True, editable=False)  # noqa: DJ001 -- unique
    digest = models.CharField(max_length=64, blank=True, editable=False)
    is_origin_enforced = models.BooleanField(
        "refuse other pages", default=False, help_text="On: calls from pages outside your page origins are refused."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="public", public_key__isnull=False)
                | models.Q(kind="server", prefix__isnull=False),
                name="write_key_of_its_kind",
            )
        ]

    def __str__(self) -> str:
        return self.name


class IdentitySecret(TenantModel):
    """A secret by which a page proves a user id (`audience.proofs`). Sealed; two of an advertiser are live."""

    sealed = models.TextField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantModel.Meta):
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d}"
