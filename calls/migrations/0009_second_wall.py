from django.db import migrations

from tenants.wall import wall_in

TABLES = [
    *["call", "route", "siptrunk", "leg", "turn", "toolrun", "callevent", "usagerecord", "ledgerentry", "lease", "flightchunk", "recording", "afterstep"],
    *["callsearch", "callnote", "tag", "savedview", "columnchoice", "bulkact", "callexport", "liveorder", "listener", "trialcall"],
]


class Migration(migrations.Migration):
    dependencies = [("calls", "0008_trial_calls")]

    operations = [wall_in(*[f"calls_{table}" for table in TABLES])]
