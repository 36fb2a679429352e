from django.db import migrations

from tenants.wall import wall_in


class Migration(migrations.Migration):
    dependencies = [("agents", "0004_drafts_and_mcp_servers")]

    operations = [wall_in("agents_agent", "agents_agentdraft", "agents_agentversion", "agents_mcpserver", "agents_secret", "agents_tool")]
