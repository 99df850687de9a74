"""Transactions that PostgreSQL takes back, and connections that it does not give: nothing is lost, or done twice."""

import psycopg
import pytest

from tests.faults.scene import answers
from tests.running import until

# A tenth of the batches ends so at their last statement, when everything else of them is done.
_TAKE_BACK = """
    CREATE FUNCTION take_back() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF random() < 0.1 THEN
            RAISE EXCEPTION 'taken back by the test' USING ERRCODE = '{code}';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER take_back AFTER INSERT ON pixels_firedelta FOR EACH STATEMENT EXECUTE FUNCTION take_back()
"""


@pytest.mark.spec("R5")
@pytest.mark.parametrize("error", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
def test_idempotent_where_transactions_are_taken_back(scene, error):
    with scene.database.connect() as connection:
        connection.execute(_TAKE_BACK.format(code=error.sqlstate))
    try:
        with scene.load(awaits=1_000) as ledger:
            pass
    finally:
        with scene.database.connect() as connection:
            connection.execute("DROP FUNCTION take_back CASCADE")
    scene.check(ledger)


@pytest.mark.spec("R12")
def test_overload_of_a_server_with_too_few_connections(scene):
    """There is one connection for all that two workers want: who gets none keeps its fires in its spool."""
    scene.door.kill()  # whoever starts the server needs the one connection himself
    scene.database.stop()
    scene.database.start(max_connections="1", superuser_reserved_connections="0")
    try:
        scene.door.start(is_ready=False)
        with scene.load(awaits=1_000) as ledger:
            until(scene.is_spool_in_use, "a worker has no connection")
            answers(ledger, 1_000)
    finally:
        scene.database.stop()
        scene.database.start(max_connections="100", superuser_reserved_connections="3")
    scene.check(ledger, is_refusal_allowed=True)
