"""The facets of a call as SQL: one function that names them and the trigger that keeps the search row in step. Text only, runs nothing.

A trigger, because the filters of the list must agree with the call whoever wrote it: services, the writer of a media process, an operator.
"""

from __future__ import annotations

import pgtrigger

# Days and months are UTC: they only narrow a search to a stretch of time, whose exact bounds `created_at` holds.
FACETS_FUNCTION = """
CREATE OR REPLACE FUNCTION calls_facets(c calls_call) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT array_remove(ARRAY[
        'tenant:' || c.tenant_id,
        'day:' || floor(extract(epoch FROM c.created_at) / 86400)::int,
        'month:' || (extract(year FROM c.created_at AT TIME ZONE 'UTC')::int * 12
                     + extract(month FROM c.created_at AT TIME ZONE 'UTC')::int - 1),
        'state:' || CASE c.state WHEN 'ended' THEN 'ended' ELSE 'live' END,
        'direction:' || c.direction,
        'path:' || c.path,
        'reviewed:' || CASE WHEN c.reviewed_at IS NULL THEN 'no' ELSE 'yes' END,
        CASE WHEN c.outcome <> '' THEN 'outcome:' || c.outcome END,
        CASE WHEN c.end_reason <> '' THEN 'reason:' || c.end_reason END,
        CASE WHEN c.fault <> '' THEN 'fault:' || c.fault END,
        'number:' || c.number_id,
        'agent:' || c.agent_id
    ], NULL)
    || ARRAY(SELECT 'flag:' || f FROM unnest(c.flags) AS f)
    || ARRAY(SELECT 'tag:' || lower(t) FROM unnest(c.tags) AS t)
$$;
"""
DROP_FACETS_FUNCTION = "DROP FUNCTION IF EXISTS calls_facets(calls_call);"

KEEP_FACETS = pgtrigger.Trigger(
    name="keep_facets",
    when=pgtrigger.After,
    operation=pgtrigger.Insert
    | pgtrigger.UpdateOf(  # type: ignore[no-untyped-call]  # pgtrigger types none of its operations' names
        "state",
        "direction",
        "path",
        "reviewed_at",
        "outcome",
        "end_reason",
        "fault",
        "number_id",
        "agent_id",
        "flags",
        "tags",
    ),
    declare=[("fresh", "text[]")],
    func="""
        fresh := calls_facets(NEW);
        IF TG_OP = 'UPDATE' AND calls_facets(OLD) = fresh THEN
            RETURN NULL;
        END IF;
        INSERT INTO calls_callsearch (id, tenant_id, call_id, created_at, facets)
            VALUES (gen_random_uuid(), NEW.tenant_id, NEW.id, NEW.created_at, fresh)
            ON CONFLICT (call_id) DO UPDATE SET facets = EXCLUDED.facets;
        RETURN NULL;
    """,
)
