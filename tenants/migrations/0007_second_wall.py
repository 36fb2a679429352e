from django.db import migrations

from tenants.wall import wall_in


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_numbers")]

    operations = [wall_in("tenants_auditentry", "tenants_businessprofile", "tenants_carrieraccount", "tenants_invitation", "tenants_number", "tenants_numberorder", "tenants_retentionpolicy")]
