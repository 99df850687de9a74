"""The form of a segment that pixels fill, and what all segments' forms have: a name, and a code that is free."""

from typing import Any

from django import forms
from django.utils.text import slugify
from unfold.widgets import UnfoldBooleanSwitchWidget

from audience.admin.base import TenantForm
from audience.admin.fields import LifetimeField
from segments.models import DEFAULT_LIFETIME_MINUTES, Segment
from segments.versions import users_of

CODE_TAKEN = "You have a segment with this code already. Capitals do not matter."
LONGEST_CODE = 50


def names_of_users(segment: Segment) -> str:
    """Return the names of the segments whose rules use a segment: “Fans”, “Buyers”."""
    return ", ".join(sorted({f"“{version.segment.name}”" for version in users_of(segment)}))


class CodedForm(TenantForm):
    """A segment with a name and a code; the code is taken from the name where nobody wrote one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "code" in self.fields:
            self.fields["code"].required = False

    def clean_code(self) -> str:
        code = self.cleaned_data["code"] or self._proposed_code()
        if code and self._others().filter(code__iexact=code).exists():
            raise forms.ValidationError(CODE_TAKEN)
        if not code:
            raise forms.ValidationError("Write a code of letters, digits, - and _.")
        return code

    def _proposed_code(self) -> str:
        """Return a code from the name that is free: “cart”, else “cart-2”."""
        base = slugify(self.cleaned_data.get("name", ""))[: LONGEST_CODE - 4].strip("-_")
        if not base:
            return ""
        taken = {code.lower() for code in self._others().values_list("code", flat=True)}
        endings = ["", *(f"-{number}" for number in range(2, 1000))]
        return next((base + ending for ending in endings if base + ending not in taken), "")

    def _others(self) -> Any:
        return Segment.objects.filter(deleted_at=None).exclude(pk=self.instance.pk)


class SegmentForm(CodedForm):
    """A segment whose members are put in by pixels, the API or an upload."""

    lifetime_minutes = LifetimeField(
        label="Keep members for",
        initial=DEFAULT_LIFETIME_MINUTES,
        validators=Segment._meta.get_field("lifetime_minutes").validators,
        help_text="Each new fire starts the time afresh. At most 180 days.",
    )
    longest_lifetime_minutes = LifetimeField(
        label="Tags may ask for up to",
        required=False,
        validators=Segment._meta.get_field("longest_lifetime_minutes").validators,
        help_text="A tag that asks for more gets this. Empty: as long as members are kept.",
    )
    is_pixel_wanted = forms.BooleanField(
        label="Make a pixel for it",
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
        help_text="A pixel of the same name that adds visitors to this segment.",
    )

    class Meta:
        model = Segment
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "is_active" in self.fields and (names := names_of_users(self.instance)):
            self.fields["is_active"].help_text += f" The rules of {names} ask for it."

    def clean_code(self) -> str:
        """Return the code; rules of other segments may name it as it is."""
        code = super().clean_code()
        stored = Segment.objects.filter(pk=self.instance.pk).first()
        if stored is not None and stored.code != code and (names := names_of_users(stored)):
            raise forms.ValidationError(f"The rules of {names} ask for “{stored.code}”. Change these first.")
        return code
