"""Get tag: the tag of a pixel or of ticked segments, drawn anew at every change, to copy, download or mail."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.text import slugify
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from audience.admin.base import taken_seat
from audience.models import Advertiser
from pixels.hosts import Hosts
from pixels.redirects import why_not_target
from pixels.tags import Address, Format, Subject, Tag, addresses_of, make_tag

MOST_ADDRESSES = 10
MAILS_PER_HOUR = 20
LONGEST_NOTE = 1_000
LONGEST_REDIRECT = 2_048  # encoded, it still leaves the line room for the rest
_MAILED = "Mailed its tag to "


class TagForm(forms.Form):
    """How the tag is wanted; everything has a default, so that the first look shows a tag already."""

    form = forms.ChoiceField(label="Format", choices=Format.choices, widget=UnfoldAdminSelectWidget)
    address = forms.ChoiceField(label="Address", choices=Address.choices, widget=UnfoldAdminSelectWidget)
    host = forms.ChoiceField(
        label="Pixel host",
        widget=UnfoldAdminSelectWidget,
        help_text="A host of your own domain also works where browsers block other sites' cookies.",
    )
    redirect = forms.CharField(
        label="Redirect after the fire",
        required=False,
        max_length=LONGEST_REDIRECT,
        widget=UnfoldAdminTextInputWidget({"placeholder": "https://ad.partner.example/pixel?gdpr=${GDPR}"}),
        help_text="Empty: none. An address on one of your redirect hosts. Fires from servers are not sent on.",
    )

    def __init__(self, data: Any, advertiser: Advertiser, subject: Subject) -> None:
        hosts = [settings.MUSTER_PIXEL_URL, *(f"https://{host}" for host in advertiser.first_party_hosts)]
        addresses = addresses_of(subject)
        defaults = {"form": Format.SCRIPT.value, "address": addresses[0][0], "host": hosts[0], "redirect": ""}
        known = {name: data.get(name) for name in defaults if data.get(name)}
        super().__init__({**defaults, **known})
        self.redirect_hosts = Hosts(advertiser.redirect_hosts)
        cast("forms.ChoiceField", self.fields["address"]).choices = addresses
        cast("forms.ChoiceField", self.fields["host"]).choices = [(host, host) for host in hosts]
        if len(hosts) == 1:
            self.fields["host"].widget = forms.HiddenInput()

    def clean_redirect(self) -> str:
        redirect: str = self.cleaned_data["redirect"]
        if redirect and (why := why_not_target(redirect, self.redirect_hosts, "your redirect hosts")):
            raise ValidationError(why)
        return redirect


class MailForm(forms.Form):
    """To whom the tag goes, and what the marketer says to it."""

    addresses = forms.CharField(
        label="To",
        max_length=4_000,
        widget=UnfoldAdminTextareaWidget({"rows": 2, "placeholder": "web@agency.example, jo@shop.example"}),
        help_text="1 to 10 e-mail addresses. Each gets a mail of its own.",
    )
    note = forms.CharField(
        label="Note",
        required=False,
        max_length=LONGEST_NOTE,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="Stands above the tag. Up to 1,000 characters.",
    )

    def __init__(self, data: Any = None, *, mails_left: int = MAILS_PER_HOUR) -> None:
        super().__init__(data)
        self.mails_left = mails_left

    def clean_addresses(self) -> list[str]:
        words = re.split(r"[\s,;]+", self.cleaned_data["addresses"].strip())
        addresses = list(dict.fromkeys(word for word in words if word))
        if len(addresses) > MOST_ADDRESSES:
            raise ValidationError(f"These are {len(addresses)} addresses; one mail goes to at most {MOST_ADDRESSES}.")
        for address in addresses:
            try:
                validate_email(address)
            except ValidationError:
                raise ValidationError(f"“{address}” is no e-mail address. Nothing was sent.") from None
        if len(addresses) > self.mails_left:
            raise ValidationError(f"You may send {MAILS_PER_HOUR} mails an hour; {self.mails_left} are left.")
        return addresses


@dataclass(frozen=True)
class Result:
    """A tag, and the form that led to it."""

    form: TagForm
    tag: Tag


def draw(request: HttpRequest, subject: Subject) -> Result:
    """Return the tag as the request's options want it; options that do not exist are the defaults.

    A redirect that nobody would be sent to is left out, and the first hint says why.
    """
    advertiser = taken_seat(request).advertiser
    form = TagForm(request.POST or request.GET, advertiser, subject)
    if form.errors.keys() - {"redirect"}:
        form = TagForm({}, advertiser, subject)
        form.full_clean()
    chosen = form.cleaned_data
    address, redirect = Address(chosen["address"]), chosen.get("redirect", "")
    tag = make_tag(subject, chosen["host"], Format(chosen["form"]), address, redirect)
    refused = [f"The redirect is left out. {why}" for why in form.errors.get("redirect", [])]
    return Result(form, replace(tag, hints=(*refused, *tag.hints)))


def as_json(result: Result) -> JsonResponse:
    return JsonResponse({"html": result.tag.html, "url": result.tag.url, "hints": result.tag.hints})


def as_file(request: HttpRequest, subject: Subject, result: Result) -> HttpResponse:
    """Return the tag as a download: .txt with the guide, or .html, a page that fires when it is opened.

    A command for a server stands in no page.
    """
    is_page = request.GET.get("as") == "html" and not result.tag.is_for_server
    ending = "html" if is_page else "txt"
    text = render_to_string(f"pixels/mail/tag.{ending}", _texts(subject, result.tag))
    kind = "text/html" if ending == "html" else "text/plain"
    name = slugify(subject.name)[:50] or "muster"
    headers = {"Content-Disposition": f'attachment; filename="{name}-tag.{ending}"'}
    return HttpResponse(text, content_type=f"{kind}; charset=utf-8", headers=headers)


def send(request: HttpRequest, subject: Subject, result: Result, form: MailForm, row: Any) -> int:
    """Mail the tag to everybody in a valid form; write down who got it; return how many mails went out."""
    user = cast("User", request.user)
    body = render_to_string(
        "pixels/mail/tag.txt",
        {**_texts(subject, result.tag), "note": form.cleaned_data["note"], "sender": user.get_full_name() or user},
    )
    reply_to = [user.email] if user.email else []
    title = f"Tag for “{' '.join(subject.name.split())[:80]}”"
    addresses = form.cleaned_data["addresses"]
    mails = [EmailMessage(title, body, to=[address], reply_to=reply_to) for address in addresses]
    sent = get_connection(timeout=10).send_messages(mails) or 0
    for address in addresses:
        LogEntry.objects.create(
            user=user,
            content_type=ContentType.objects.get_for_model(row),
            object_id=str(row.pk),
            object_repr=str(row)[:200],
            action_flag=CHANGE,
            change_message=_MAILED + address,
        )
    return sent


def mails_left(user: User) -> int:
    """Return how many mails a user may send within this hour."""
    hour_ago = timezone.now() - timedelta(hours=1)
    sent = LogEntry.objects.filter(user=user, action_time__gt=hour_ago, change_message__startswith=_MAILED).count()
    return max(0, MAILS_PER_HOUR - sent)


def _texts(subject: Subject, tag: Tag) -> dict[str, Any]:
    return {"subject": subject, "tag": tag, "host": settings.MUSTER_PIXEL_URL}
