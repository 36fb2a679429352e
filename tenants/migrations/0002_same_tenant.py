from django.db import migrations

from tenants.composite import same_tenant, unique_tenant_id


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_tables")]

    operations = [
        unique_tenant_id("tenants_carrieraccount"),
        unique_tenant_id("tenants_number"),
        same_tenant("tenants_number", "account_id", "tenants_carrieraccount"),
    ]
