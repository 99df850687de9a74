"""How rules read a value and a clock: functions that the SQL of a compiled rule calls (`segments.rules.compiling`).

None raises, whatever a value holds: one value of one profile would stop a whole batch.
"""

from django.db import migrations

# Each is a single expression. AT TIME ZONE with the name of a zone is immutable to PostgreSQL.
FUNCTIONS = {
    # A text, or a number in its shortest form; NULL for what is blank, and for what is neither.
    "segments_text(jsonb) RETURNS text": r"""
        SELECT CASE jsonb_typeof($1)
            WHEN 'string' THEN CASE WHEN btrim($1 #>> '{}', E' \t\n\r\f\x0B') <> '' THEN normalize($1 #>> '{}') END
            WHEN 'number' THEN trim_scale($1::numeric)::text
        END
    """,
    # A number, or a text that is a plain decimal.
    "segments_number(jsonb) RETURNS numeric": r"""
        SELECT CASE jsonb_typeof($1)
            WHEN 'number' THEN $1::numeric
            WHEN 'string' THEN CASE WHEN length($1 #>> '{}') <= 1000 AND $1 #>> '{}' ~ '^-?[0-9]+(\.[0-9]+)?$'
                THEN ($1 #>> '{}')::numeric END
        END
    """,
    "segments_boolean(jsonb) RETURNS boolean": r"""
        SELECT CASE WHEN jsonb_typeof($1) = 'boolean' THEN $1::boolean END
    """,
    # The parts of a version, which are compared one by one; 17.0 is 17.
    "segments_version(text) RETURNS numeric[]": r"""
        SELECT CASE WHEN $1 ~ '^[0-9]{1,18}(\.[0-9]{1,18}){0,9}$' THEN
            string_to_array(regexp_replace($1, '(\.0+)+$', ''), '.')::numeric[] END
    """,
    # By what values are told apart where they are counted: text regardless of case, true and false.
    "segments_key(jsonb) RETURNS text": r"""
        SELECT CASE WHEN jsonb_typeof($1) = 'boolean' THEN $1 #>> '{}' ELSE lower(segments_text($1)) END
    """,
    # Null, missing and blank text are unknown; an empty list is known.
    "segments_is_known(jsonb) RETURNS boolean": r"""
        SELECT CASE jsonb_typeof($1) WHEN 'null' THEN FALSE WHEN 'string' THEN
            btrim($1 #>> '{}', E' \t\n\r\f\x0B') <> '' ELSE $1 IS NOT NULL END
    """,
    # A day of the calendar such as 2026-05-01.
    "segments_day(text) RETURNS date": r"""
        SELECT CASE WHEN $1 ~ '^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$' THEN
            CASE WHEN substr($1, 9, 2)::int <= extract(day FROM make_date(
                substr($1, 1, 4)::int, substr($1, 6, 2)::int, 1) + interval '1 month - 1 day') THEN
                make_date(substr($1, 1, 4)::int, substr($1, 6, 2)::int, substr($1, 9, 2)::int)
            END
        END
    """,
    # An instant with its offset such as 2026-05-01T10:00:00.5+02:00.
    "segments_instant(text) RETURNS timestamptz": r"""
        SELECT CASE WHEN segments_day(substr($1, 1, 10)) IS NOT NULL AND substr($1, 11) ~
                '^T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$'
            THEN $1::timestamptz
        END
    """,
    # The moment when a local day begins: the earliest that bears its date. PostgreSQL takes the second of two
    # midnights; the first is found by the clock of the day before.
    "segments_day_start(date, text) RETURNS timestamptz": r"""
        SELECT CASE WHEN first AT TIME ZONE $2 = $1::timestamp THEN least(first, usual) ELSE usual END
        FROM (SELECT ($1::timestamp AT TIME ZONE $2) AS usual) u CROSS JOIN LATERAL (
            SELECT ($1 - (d AT TIME ZONE $2 - d AT TIME ZONE 'UTC')) AT TIME ZONE 'UTC' AS first
            FROM (SELECT usual - interval '24 hours' AS d) yesterday
        ) f
    """,
    # The local day of a moment. Where midnight comes twice the day has begun at the first of the two.
    "segments_local_day(timestamptz, text) RETURNS date": r"""
        SELECT CASE WHEN $1 >= segments_day_start(d + 1, $2) THEN d + 1 ELSE d END
        FROM (SELECT ($1 AT TIME ZONE $2)::date AS d) d
    """,
    # When a clock reads a time from the first minute of a local day up to the second one. Where the clock changes in
    # between, each side of the change has its own offset: a time may come twice, or not at all.
    "segments_clock(date, text, integer, integer) RETURNS tstzmultirange": r"""
        SELECT CASE WHEN o.first = o.last
            THEN tstzmultirange(tstzrange(o.begin - o.first, o.finish - o.first))
            ELSE tstzmultirange(tstzrange(o.begin - o.first, o.finish - o.first)) * tstzmultirange(tstzrange(NULL, c.at))
                + tstzmultirange(tstzrange(o.begin - o.last, o.finish - o.last)) * tstzmultirange(tstzrange(c.at, NULL))
            END
        FROM (
            SELECT l.*, (l.begin - interval '1 day') AT TIME ZONE $2 - (l.begin - interval '1 day') AT TIME ZONE 'UTC'
                AS first, (l.finish + interval '1 day') AT TIME ZONE $2
                - (l.finish + interval '1 day') AT TIME ZONE 'UTC' AS last
            FROM (
                SELECT ($1 + make_interval(mins => $3)) AT TIME ZONE 'UTC' AS begin,
                    ($1 + make_interval(mins => $4)) AT TIME ZONE 'UTC' AS finish
            ) l
        ) o LEFT JOIN LATERAL (
            SELECT min(m) AS at
            FROM generate_series(o.begin - interval '1 day', o.finish + interval '1 day', interval '1 minute') m
            WHERE o.first <> o.last AND (m AT TIME ZONE $2 - m AT TIME ZONE 'UTC') <> o.first
        ) c ON o.first <> o.last
    """,
}


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0003_id_syncs_per_fire'),
    ]

    operations = [
        migrations.RunSQL(
            f"CREATE FUNCTION {head} LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function${body}$function$",
            f"DROP FUNCTION {head.partition(' RETURNS')[0]}",
        )
        for head, body in FUNCTIONS.items()
    ]
