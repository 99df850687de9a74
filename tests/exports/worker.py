"""A worker process of a test: `python -m tests.exports.worker RUN` does what a Celery worker's task does."""

import sys

import django

if __name__ == "__main__":
    django.setup()
    from exports.tasks import work_on_run

    for run_id in sys.argv[1:]:
        work_on_run(int(run_id))
