"""Both doors, each started once for all the tests that knock."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from pixels import views
from tests.emptying import empty_tables
from tests.pixels.doors import DjangoDoor, DoorUnderTest, ListenerDoor, listener_door


@pytest.fixture(scope="session")
def listener_process(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[ListenerDoor]:
    with django_db_blocker.unblock(), listener_door() as door:
        yield door


@pytest.fixture(scope="session")
def django_process(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[DjangoDoor]:
    with django_db_blocker.unblock(), override_settings(MUSTER_DEV_HTTP_COOKIE=False, ALLOWED_HOSTS=["*"]):
        views.stop_intake()
        yield DjangoDoor()
        views.stop_intake()


@pytest.fixture(scope="module")
def open_database(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Commit as in production, and empty the tables after the module.

    Each test has an advertiser of its own, so none has to see what another one wrote.
    """
    with django_db_blocker.unblock():
        yield
        empty_tables()


@pytest.fixture
def listener(open_database: None, listener_process: ListenerDoor) -> ListenerDoor:
    listener_process.warm_up()
    return listener_process


@pytest.fixture
def django_views(open_database: None, django_process: DjangoDoor) -> DjangoDoor:
    django_process.warm_up()
    return django_process


@pytest.fixture(params=["listener", "django_views"])
def door(request: pytest.FixtureRequest, open_database: None) -> DoorUnderTest:
    """Each test that asks for this runs against both doors, and all of it must hold for both."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture
def restarted(open_database: None, django_views: DjangoDoor) -> Iterator[Callable[..., DjangoDoor]]:
    """Start the Django door anew with other settings, and once more without them."""
    with ExitStack() as changes:

        def restart(**changed: object) -> DjangoDoor:
            changes.enter_context(override_settings(**changed))
            views.stop_intake()
            return DjangoDoor()

        yield restart
    views.stop_intake()
