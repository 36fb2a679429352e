from django.db import migrations

from tenants.composite import same_tenant, unique_tenant_id


class Migration(migrations.Migration):
    dependencies = [("agents", "0002_references"), ("tenants", "0002_same_tenant")]

    operations = [
        unique_tenant_id("agents_agent"),
        unique_tenant_id("agents_agentversion"),
        same_tenant("agents_agentversion", "agent_id", "agents_agent"),
        same_tenant("agents_agent", "published_id", "agents_agentversion"),
    ]
