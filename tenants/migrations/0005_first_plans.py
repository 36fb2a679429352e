"""The three shipped plans, and proof of address for people who were there before letters were sent."""

from django.db import migrations

PLANS = (
    # key, name, numbers, calls, outbound, features
    ("starter", "Starter", 1, 3, 1, ["export", "live_acts"]),
    ("growth", "Growth", 3, 10, 5, ["export", "live_acts", "sharing"]),
    ("scale", "Scale", 10, 50, 20, ["export", "live_acts", "sharing"]),
)


def add_plans(apps, schema_editor):
    plan = apps.get_model("tenants", "Plan")
    for position, (key, name, numbers, calls, outbound, features) in enumerate(PLANS):
        plan.objects.get_or_create(
            key=key,
            defaults={
                "name": name,
                "position": position,
                "is_default": position == 0 and not plan.objects.filter(is_default=True).exists(),
                "numbers": numbers,
                "concurrent_calls": calls,
                "outbound_concurrency": outbound,
                "features": features,
            },
        )


def confirm_addresses(apps, schema_editor):
    """Everybody who can log in today was let in by the operator (`manage.py provision`): their address counts as confirmed."""
    users = apps.get_model("tenants", "User").objects.all()
    address = apps.get_model("account", "EmailAddress")
    known = set(address.objects.values_list("user_id", flat=True))
    address.objects.bulk_create(
        [
            address(user_id=user.pk, email=user.email.lower(), verified=True, primary=True)
            for user in users.iterator(chunk_size=1000)
            if user.pk not in known
        ],
        ignore_conflicts=True,
        batch_size=1000,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0004_accounts"),
        ("account", "0009_emailaddress_unique_primary_email"),
    ]

    operations = [
        migrations.RunPython(add_plans, migrations.RunPython.noop, elidable=False),
        migrations.RunPython(confirm_addresses, migrations.RunPython.noop, elidable=False),
    ]
