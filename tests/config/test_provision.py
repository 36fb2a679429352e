"""`manage.py provision` applies the contract's file as it stands, twice alike, and refuses a wrong one whole."""

import io
import json
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command

from agents.models import Agent, AgentVersion, Tool
from calls.models import Route
from tenants.models import CarrierAccount, Membership, Number, Tenant
from tenants.scope import tenant_scope

pytestmark = pytest.mark.django_db

FILE = """
tenants:
  - slug: acme
    name: Acme Dental
    timezone: Europe/Amsterdam
    twilio: {account_sid: AC00000000000000000000000000000001, auth_token: bench-auth-token}
    members: [{email: owner@example.com, password: correct-horse, role: owner}]
    tools:
      - {name: lookup_order, kind: http, method: POST, url: "http://127.0.0.1:9/orders", description: Look up an order,
         parameters: {type: object, properties: {order_id: {type: string}}, required: [order_id]}, timeout_s: 5, idempotent: true}
    agents:
      - name: Reception
        instructions: You answer the phone of a dental practice.
        greeting: Good morning, Acme Dental.
        realtime: {model: gpt-realtime-2.1, voice: marin}
        tools: [lookup_order]
        publish: true
    numbers:
      - {e164: "+15550000000", sid: PN00000000000000000000000000000001, agent: Reception, path: streams, ladder: [streams, voicemail]}
"""


@pytest.fixture
def provision(tmp_path: Path):
    def run(data=None, *options: str) -> str:
        path = tmp_path / "file.yaml"
        path.write_text(FILE if data is None else yaml.safe_dump(data))
        out = io.StringIO()
        call_command("provision", str(path), *options, stdout=out)
        return out.getvalue()

    return run


def test_the_contracts_file_works_as_it_stands(provision):
    provision()

    tenant = Tenant.objects.get(slug="acme")
    with tenant_scope(tenant):
        route = Route.objects.select_related("number", "agent").get()
        assert (route.number.e164, route.agent.name, route.path, route.ladder) == (
            "+15550000000", "Reception", "streams", ["streams", "voicemail"],
        )  # fmt: skip
        spec = AgentVersion.objects.get().to_spec()
        assert spec.greeting == "Good morning, Acme Dental."
        assert [tool.name for tool in spec.tools] == ["lookup_order"]
        assert CarrierAccount.objects.get().tokens == ("bench-auth-token",)
    assert Membership.objects.get(tenant=tenant).user.check_password("correct-horse")


def test_print_gives_each_numbers_voice_webhook_as_json(provision, settings):
    settings.PUBLIC_BASE_URL = "https://voice.example.com"
    (number,) = json.loads(provision(None, "--print"))["numbers"]

    with tenant_scope(Tenant.objects.get(slug="acme")):
        public_id = Route.objects.get().public_id
    assert number["e164"] == "+15550000000"
    assert number["voice_url"].startswith(f"https://voice.example.com/hooks/twilio/voice/{public_id}/#")


def test_applying_a_file_again_changes_nothing(provision):
    first = provision(None, "--print")
    counts = _count_rows()

    assert provision(None, "--print") == first
    assert _count_rows() == counts


def test_a_changed_agent_becomes_the_next_version(provision):
    provision()
    data = yaml.safe_load(FILE)
    data["tenants"][0]["agents"][0]["greeting"] = "Hello."
    provision(data)

    with tenant_scope(Tenant.objects.get(slug="acme")):
        assert [version.number for version in AgentVersion.objects.order_by("number")] == [1, 2]
        assert Agent.objects.get().published.to_spec().greeting == "Hello."


def test_a_password_is_never_reset_by_a_file(provision):
    provision()
    user = Membership.objects.get().user
    user.set_password("chosen-by-the-owner")
    user.save()
    provision()

    user.refresh_from_db()
    assert user.check_password("chosen-by-the-owner")


def _set(path, value):
    def change(tenant):
        *steps, last = path
        for step in steps:
            tenant = tenant[step]
        tenant[last] = value

    return change


MISTAKES = {
    "unknown key": (_set(["sluug"], "x"), "tenants[0].sluug: unknown key"),
    "missing name": (_set(["name"], ""), "tenants[0].name: is required"),
    "time zone": (_set(["timezone"], "Mars/Base"), "Mars/Base is not a time zone"),
    "role": (_set(["members", 0, "role"], "boss"), "tenants[0].members[0].role: 'boss' is no role"),
    "weak password": (_set(["members", 0, "password"], "123"), "tenants[0].members[0]"),
    "agent key": (_set(["agents", 0, "realtime", "voce"], "x"), "tenants[0].agents[0].realtime.voce"),
    "voice": (_set(["agents", 0, "realtime", "voice"], "elvis"), "tenants[0].agents[0].realtime.voice"),
    "tool of nobody": (_set(["agents", 0, "tools"], ["missing"]), "tenants[0].agents[0].tools"),
    "agent of nobody": (_set(["numbers", 0, "agent"], "Nobody"), "tenants[0].numbers[0].agent: there is no agent 'Nobody'"),
    "path": (_set(["numbers", 0, "path"], "pigeon"), "tenants[0].numbers[0]: path"),
    "ladder": (_set(["numbers", 0, "ladder"], ["trampoline"]), "tenants[0].numbers[0]: ladder"),
    "person without number": (_set(["numbers", 0, "ladder"], ["person"]), "tenants[0].numbers[0]: person_e164"),
    "number": (_set(["numbers", 0, "e164"], "0800"), "tenants[0].numbers[0]: e164"),
    "account": (_set(["twilio", "account_sid"], "XX1"), "tenants[0].twilio: account_sid"),
    "no account": (_set(["twilio"], None), "tenants[0].twilio: numbers need the account"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place_and_nothing_is_written(provision, change, message):
    data = yaml.safe_load(FILE)
    change(data["tenants"][0])

    with pytest.raises(CommandError) as refused:
        provision(data)
    assert message in str(refused.value)
    assert not Tenant.objects.exists()
    provision()
    assert Tenant.objects.exists()


def test_a_number_active_elsewhere_is_refused(provision):
    provision()
    data = yaml.safe_load(FILE)
    data["tenants"][0] |= {"slug": "other", "twilio": {"account_sid": "AC" + "2" * 32, "auth_token": "t"}}
    with pytest.raises(CommandError, match="active under another tenant"):
        provision(data)


def test_a_carrier_account_of_another_tenant_is_refused(provision):
    provision()
    data = yaml.safe_load(FILE)
    data["tenants"][0] |= {"slug": "other"}
    with pytest.raises(CommandError, match=r"tenants\[0\].twilio: clashes with what another tenant owns"):
        provision(data)


def test_a_file_that_is_none_is_refused(tmp_path):
    for text in ("tenants: {", "people: []", "- 1"):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(CommandError):
            call_command("provision", str(path))
    with pytest.raises(CommandError, match="No such file"):
        call_command("provision", str(tmp_path / "absent.yaml"))


def _count_rows() -> list[int]:
    with tenant_scope(Tenant.objects.get(slug="acme")):
        return [
            model.objects.count() for model in (Agent, AgentVersion, Tool, Number, Route, CarrierAccount, Membership)
        ]
