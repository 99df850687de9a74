"""Amounts count in the advertiser's currency (`segments.rules.money`)."""

from django.db import migrations, models

HEAD = "segments_amount(jsonb, jsonb, text) RETURNS jsonb"
# A value of an event with these properties, in this currency: NULL where it is in another one and nobody says how much
# that is.
BODY = """
    SELECT CASE
        WHEN upper(coalesce(segments_text($2 -> 'currency'), $3)) = $3 THEN $1
        WHEN segments_number($2 -> 'exchange_rate') > 0 THEN CASE jsonb_typeof($1)
            WHEN 'array' THEN (
                SELECT coalesce(jsonb_agg(segments_number(i.v) * segments_number($2 -> 'exchange_rate') ORDER BY i.n), '[]')
                FROM jsonb_array_elements($1) WITH ORDINALITY i(v, n)
            )
            ELSE to_jsonb(segments_number($1) * segments_number($2 -> 'exchange_rate')) END
    END
"""


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0013_stop_building'),
        ('audience', '0015_currency'),
    ]

    operations = [
        migrations.AddField(
            model_name='ruleversion',
            name='currency',
            field=models.CharField(db_default='EUR', default='EUR', max_length=3),
        ),
        migrations.RunSQL(
            f"CREATE FUNCTION {HEAD} LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $function${BODY}$function$",
            f"DROP FUNCTION {HEAD.partition(' RETURNS')[0]}",
        ),
    ]
