from django.db import migrations

# Calls that were there before the trigger. Safe to run again; their words follow when their totals are made.
FILL = """
INSERT INTO calls_callsearch (id, tenant_id, call_id, created_at, facets)
SELECT gen_random_uuid(), c.tenant_id, c.id, c.created_at, calls_facets(c) FROM calls_call AS c
ON CONFLICT (call_id) DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies = [("calls", "0005_desk_and_search")]

    operations = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]
