"""The list of places that leave the tenant lock. A new one is added here by hand, with its reason, or this fails (decision 3)."""

import ast
from pathlib import Path

from django.conf import settings

ROOT: Path = settings.BASE_DIR
ROOMS = ("platform", "tenants", "agents", "calls")

EXCEPTIONS = {
    ("calls/selectors.py", "a browser's socket names the test call, and the call its tenant"),
    (
        "calls/readouts/hits.py",
        "a full-text search names its tenant itself, since row security would keep its index unused",
    ),
    ("calls/selectors.py", "a call's address names the call, and the call its tenant"),
    ("calls/selectors.py", "a usage trigger's address names the account, and the account its tenant"),
    ("calls/selectors.py", "a voice webhook's address names the number, and the number its tenant"),
    ("calls/selectors.py", "a webhook about an unknown number names only the carrier's account"),
    ("calls/services/reaping.py", "a process that died held calls of any tenant"),
    ("calls/services/reaping.py", "the reaper asks how long calls of all tenants really lasted"),
    ("calls/services/reaping.py", "the reaper looks for calls of all tenants that never ended"),
    ("calls/selectors.py", "a trunk's recovery address names the trunk, and the trunk its tenant"),
    ("calls/services/sip_admission.py", "a SIP invitation's ticket names its call, and the call its tenant"),
    ("calls/services/sip_admission.py", "a trunk call names only the carrier's account, which is then asked"),
    ("calls/services/sip_lines.py", "a control process looks whether its leases still hold"),
    ("calls/services/sip_lines.py", "a control process takes over SIP calls of all tenants"),
    ("calls/services/tickets.py", "a media stream's ticket names its call, and the call its tenant"),
    ("calls/tasks.py", "the nightly look at the carrier visits every tenant with active numbers"),
    ("calls/tasks.py", "an export's row names its tenant"),
    ("calls/tasks.py", "the sweeper looks for exports of all tenants"),
    ("calls/tasks.py", "the sweeper looks for due work of all tenants"),
    ("calls/aftermath/rollups.py", "a time zone that changed moves a tenant's midnights"),
    ("calls/aftermath/rollups.py", "the sweeper adds up marked days of all tenants"),
    ("calls/transports/store.py", "a writer's batch holds records of several tenants, each row with its own"),
    ("calls/tasks.py", "the sweeper looks for due webhooks of all tenants"),
    ("platform/config/doctor/loopback.py", "the doctor rings any tenant's number"),
    ("platform/config/doctor/outside.py", "the doctor checks every tenant's carrier account and numbers"),
    ("platform/config/doctor/outside.py", "the doctor checks the models that any tenant's published agents use"),
    ("platform/config/doctor/outside.py", "the doctor tries webhooks with any tenant's number"),
    ("platform/config/management/commands/replay.py", "an operator replays a call of any tenant"),
    ("tenants/members.py", "an invitation's link names the invitation, and the invitation its tenant"),
    ("tenants/carrier.py", "an account at the carrier has one owner across all tenants"),
    ("tenants/tasks.py", "the sweeper looks for due work at the carrier of all tenants"),
    ("tenants/services.py", "a line has one owner across all tenants"),
}


def find_code() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if "migrations" not in path.parts]


def test_only_the_listed_places_leave_the_lock():
    found = set()
    for path in find_code():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "every_tenant":
                (reason,) = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
                assert isinstance(reason, ast.Constant), f"{path}: the reason is a plain text"
                found.add((str(path.relative_to(ROOT)), reason.value))

    assert found == EXCEPTIONS


def test_nobody_goes_around_the_guard_by_a_side_door():
    side_doors = {"scopes_disabled", "_base_manager", "with_scopes_disabled"}
    allowed = {"tenants/scope.py"}
    found = set()
    for path in find_code():
        names = {
            getattr(node, "id", getattr(node, "attr", ""))
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Name | ast.Attribute)
        }
        if names & side_doors:
            found.add(str(path.relative_to(ROOT)))

    assert found == allowed
