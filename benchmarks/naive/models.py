"""The tables of the naive view."""

from django.db import models


class Browser(models.Model):
    cookie = models.CharField(max_length=80, unique=True)

    class Meta:
        app_label = "naive"


class Member(models.Model):
    browser = models.ForeignKey(Browser, on_delete=models.CASCADE)
    segment = models.IntegerField()
    added_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        app_label = "naive"
        constraints = [models.UniqueConstraint(fields=["browser", "segment"], name="naive_member_once")]
