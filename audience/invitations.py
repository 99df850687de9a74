"""How somebody gets an account: by an invitation that holds a link to choose a password.

A known and an unknown address get the same answer on the page, so that nobody learns from it who has an account.
"""

from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from audience.models import Advertiser


def find_or_invite(address: str, advertiser: Advertiser, request: HttpRequest) -> User:
    """Return the user with this address, making one who can only choose a password; tell them by mail."""
    user = _find(address)
    if user is None:
        user = User(username=address[:150].lower(), email=address, is_staff=True)
        user.set_unusable_password()
        user.save()
    elif not user.is_staff:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
    transaction.on_commit(lambda: _tell(user, advertiser, request))
    return user


def _find(address: str) -> User | None:
    by_mail = User.objects.filter(email__iexact=address).order_by("pk").first()
    return by_mail or User.objects.filter(username__iexact=address).order_by("pk").first()


def _tell(user: User, advertiser: Advertiser, request: HttpRequest) -> None:
    if not user.email:
        return
    link = request.build_absolute_uri(reverse("admin:index"))
    if not user.has_usable_password():
        key = urlsafe_base64_encode(force_bytes(user.pk))
        reset = reverse("password_reset_confirm", args=[key, default_token_generator.make_token(user)])
        link = request.build_absolute_uri(reset)
    context = {"advertiser": advertiser, "link": link, "is_new": not user.has_usable_password()}
    body = render_to_string("audience/mail/invitation.txt", context)
    name = " ".join(advertiser.name.split())
    send_mail(f"You are in the team of {name}", body, None, [user.email], fail_silently=True)
