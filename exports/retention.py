"""Run files kept for “send again” and download, removed when their days are over."""

import shutil
from datetime import timedelta

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Value
from django.db.models.functions import Now

from audience.crash import crash_point
from audience.tenancy import acting_for
from exports.models import Run, RunFile
from exports.writing import run_folder


def drop_kept_files() -> int:
    """Remove the files of ended runs that are kept no longer; return of how many runs. Can be repeated."""
    age = ExpressionWrapper(F("export__keep_days") * Value(timedelta(days=1)), output_field=DurationField())
    until = ExpressionWrapper(F("ended_at") + age, output_field=DateTimeField())
    old = Run.all_advertisers.annotate(kept_until=until).filter(kept_until__lt=Now())
    dropped = 0
    for run in old.filter(files__in=RunFile.all_advertisers.exclude(local_path="")).distinct():
        shutil.rmtree(run_folder(run), ignore_errors=True)
        crash_point("retention.dropped")
        with acting_for(run.advertiser_id):
            RunFile.objects.filter(run=run).update(local_path="")
        dropped += 1
    return dropped
