from django.db import migrations

from tenants.composite import same_tenant, unique_tenant_id

OF_A_CALL = ["leg", "turn", "toolrun", "callevent", "usagerecord", "ledgerentry", "lease", "flightchunk", "recording", "afterstep"]


class Migration(migrations.Migration):
    dependencies = [("calls", "0002_references"), ("agents", "0003_same_tenant"), ("tenants", "0002_same_tenant")]

    operations = [
        unique_tenant_id("calls_call"),
        same_tenant("calls_route", "number_id", "tenants_number"),
        same_tenant("calls_route", "agent_id", "agents_agent"),
        same_tenant("calls_call", "number_id", "tenants_number"),
        same_tenant("calls_call", "agent_id", "agents_agent"),
        same_tenant("calls_call", "agent_version_id", "agents_agentversion"),
        *[same_tenant(f"calls_{model}", "call_id", "calls_call") for model in OF_A_CALL],
    ]
