"""What the installation's own programs leave behind, so that somebody can see that they work."""

from django.db import models


class Heartbeat(models.Model):
    """A worker or beat on one machine, and when it was last heard of. Who ends in order takes its row away."""

    pk = models.CompositePrimaryKey("program", "host")
    # The queue that a worker serves, or "beat".
    program = models.CharField(max_length=40)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.program}@{self.host}"


class TimedTask(models.Model):
    """A task of the clockwork: when it last ended, and when it last failed. What is due follows from here."""

    name = models.CharField(max_length=100, primary_key=True)
    ended_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0)
    failed_at = models.DateTimeField(null=True)
    # The class of the error, without its words.
    error = models.CharField(max_length=100, blank=True)

    def __str__(self) -> str:
        return self.name
