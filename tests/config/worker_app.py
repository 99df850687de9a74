"""The product's Celery application with tasks that tests can follow: each leaves a row for what it does."""

import os
import time

import psycopg
from django.conf import settings

from config.celery import app
from config.environment import conninfo

# How long a task of a killed worker stays invisible; the product waits for longer.
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": int(os.environ.get("TEST_VISIBILITY_TIMEOUT", "1")),
}


def note(word: str, what: str) -> None:
    with psycopg.connect(conninfo(settings.DATABASES["default"]), autocommit=True) as connection:
        connection.execute("INSERT INTO noted (word, what) VALUES (%s, %s)", [word, what])


def is_noted(word: str) -> bool:
    with psycopg.connect(conninfo(settings.DATABASES["default"]), autocommit=True) as connection:
        return (
            connection.execute("SELECT 1 FROM noted WHERE word = %s AND what = 'go'", [word]).fetchone() is not None
        )


@app.task(name="tests.write")
def write(word: str) -> None:
    """Leave a row at once."""
    note(word, "done")


@app.task(name="tests.wait")
def wait(word: str) -> None:
    """Leave a row, wait until a test says go, and leave another one."""
    note(word, "begun")
    while not is_noted(word):
        time.sleep(0.05)
    note(word, "done")
