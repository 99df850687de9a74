"""The pages of a forgotten or never chosen password. They give one answer for known and unknown addresses."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import views
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.contrib.auth.models import User
from django.urls import path, reverse_lazy
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget


class ForgottenForm(PasswordResetForm):
    """Also for somebody who was invited and has not chosen a password yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].widget = UnfoldAdminEmailInputWidget({"autofocus": True, "autocomplete": "email"})

    def get_users(self, email: str) -> Iterable[User]:
        return User.objects.filter(email__iexact=email, is_active=True)


class ChooseForm(SetPasswordForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget({"autocomplete": "new-password"})


def _page(title: str) -> dict[str, Any]:
    return {"title": title, "site_title": "Muster"}


urlpatterns = [
    path(
        "password_reset/",
        views.PasswordResetView.as_view(
            form_class=ForgottenForm,
            template_name="registration/forgotten.html",
            email_template_name="registration/forgotten_mail.txt",
            subject_template_name="registration/forgotten_subject.txt",
            extra_context=_page("Forgotten your password?"),
        ),
        name="admin_password_reset",
    ),
    path(
        "password_reset/sent/",
        views.PasswordResetDoneView.as_view(
            template_name="registration/forgotten_sent.html", extra_context=_page("Look into your mail")
        ),
        name="password_reset_done",
    ),
    path(
        "password/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(
            form_class=ChooseForm,
            template_name="registration/choose.html",
            success_url=reverse_lazy("admin:login"),
            extra_context=_page("Choose a password"),
        ),
        name="password_reset_confirm",
    ),
]
