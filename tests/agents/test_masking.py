"""Credentials pasted where texts belong never reach a screen or the audit log."""

from __future__ import annotations

import pytest

from agents.masking import MASK, holds_credential, mask_credentials
from agents.models import Agent
from agents.preflight import check
from agents.services import save_agent
from agents.spec import parse_agent
from tenants.models.audit import AuditEntry
from tenants.scope import tenant_scope
from tests.factories import make_tenant

PASTED = [
    "sk-proj-abcdefghijklmnopqrstuvwxyz012345",
    "sk_live_0123456789abcdef",
    "AKIAABCDEFGHIJKLMNOP",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "xoxb-123456789012-abcdefghij",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", PASTED)
def test_a_pasted_credential_is_masked_and_the_rest_stays(secret: str) -> None:
    assert mask_credentials({"a": [f"use {secret} for the CRM"]}) == {"a": [f"use {MASK} for the CRM"]}
    assert mask_credentials("Authorization: Bearer abcdef0123456789") == f"Authorization: Bearer {MASK}"


@pytest.mark.parametrize(
    "text", ["Bearer {secret:crm_key_of_ours}", "We ask skilful people", "task-force", "https://x.example/a-b-c"]
)
def test_ordinary_words_and_placeholders_stay(text: str) -> None:
    assert not holds_credential(text)


@pytest.mark.django_db
def test_a_pasted_key_is_warned_of_and_stays_out_of_the_audit_log() -> None:
    spec = parse_agent({"name": "R", "instructions": f"Log in with {PASTED[0]}."})
    assert [finding.field for finding in check(spec, path="streams")] == ["instructions"]
    with tenant_scope(make_tenant()):
        save_agent(parse_agent({"name": "R", "instructions": "Nothing yet."}))
        save_agent(spec)
        entries = list(AuditEntry.objects.filter(target_type=Agent._meta.label_lower).order_by("id"))
    assert [entry.action for entry in entries] == ["agent.created", "agent.draft_saved"]
    assert entries[1].before == {"instructions": "Nothing yet."}
    assert entries[1].after == {"instructions": f"Log in with {MASK}."}
