"""Looks an agent over before it may be published: what a vendor refuses, and what callers would suffer from; changes and asks nothing.

Every finding names the field and the mend (product 4.2). What a path can do at all is `calls/session/capabilities.py`; here are the
vendors' rules and our own. Today's date is passed in, because models have a last day.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime

import phonenumbers
from django.utils.translation import gettext as _
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType, shortnumberinfo

from agents import builtins
from agents.findings import Finding, Findings, Severity, error, warning
from agents.masking import holds_credential
from agents.patterns import find_pattern_fault
from agents.preflight_realtime import check_realtime
from agents.preflight_tools import check_tool
from agents.spec import AgentSpec, Contact, Guardrail, SilenceLadder

__all__ = ["Finding", "Severity", "blocks", "check"]

MAX_TOKENS = 16_384  # openai-realtime.md §6.1: instructions and tools together
NEAR_MAX_SHARE = 0.8
MAX_TOOLS = 100  # §6.1: used in practice; no published cap
MAX_DURATION_S = 4 * 3600  # twilio.md: a call's own limit
SHORT_DURATION_S = 30
MIN_SILENCE_S = 0.5  # below, the ladder would talk into every pause
SILENCE_RANGE_S = (2.0, 60.0)  # what callers find natural
MAX_PROMPTS = 5
MAX_SPOKEN_CHARS = 600  # about 40 s; nobody listens longer to a fixed text
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check(
    spec: AgentSpec,
    *,
    path: str,
    agents: Mapping[str, AgentSpec] | None = None,
    secret_names: Collection[str] | None = None,
    today: date | None = None,
) -> tuple[Finding, ...]:
    """Everything worth saying about this agent on this path (`streams`, `sip`, `relay`), worst first.

    `agents` (the tenant's, by name) and `secret_names` are given when hand-off targets and secrets can be looked up.
    """
    today = today or datetime.now(UTC).date()
    findings = [
        *_check_words(spec),
        *_check_duration(spec),
        *_check_silence(spec.silence),
        *_check_tools(spec, secret_names),
        *_check_people(spec, agents),
        *_check_collected(spec),
        *_check_guardrails(spec),
    ]
    if path != "relay":  # relay has a block of its own
        findings += check_realtime(spec.realtime, languages=spec.languages, path=path, today=today)
        findings += _check_size(spec)
    return tuple(sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR))


def blocks(findings: Iterable[Finding]) -> bool:
    """Whether the agent may not be published."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def _check_words(spec: AgentSpec) -> Findings:
    if not spec.name.strip():
        yield error("name", _("The agent has no name."), _("Give it one; hand-offs and screens use it."))
    if not spec.instructions.strip():
        yield error("instructions", _("The agent has no instructions."), _("Say who it is and what it is to do."))
    for field in ("instructions", "greeting", "disclosure"):
        if holds_credential(getattr(spec, field)):
            yield warning(
                field,
                _("This holds what looks like a password or key; the model could say it aloud."),
                _("Take it out, and replace the key where it came from. Tools get keys as secrets."),
            )
    if spec.speaks_first == "agent" and not spec.greeting.strip():
        yield error(
            "greeting",
            _("The agent speaks first and has nothing to say."),
            _("Write a greeting, or let the caller speak first."),
        )
    for field in ("greeting", "disclosure", "goodbye"):
        if len(getattr(spec, field)) > MAX_SPOKEN_CHARS:
            yield warning(field, _("This takes longer to say than callers listen."), _("Shorten it to two sentences."))
    if spec.recording and not spec.disclosure.strip():
        yield warning(
            "disclosure",
            _("The call is recorded and the caller is not told; many countries forbid that."),
            _("Write what the agent says before recording starts."),
        )
    if spec.disclosure.strip() and not spec.recording:
        yield warning(
            "recording", _("The disclosure is never spoken."), _("Turn recording on, or empty the disclosure.")
        )
    if not spec.languages:
        yield error("languages", _("The agent has no language."), _("Name at least one, as en."))
    for index, language in enumerate(spec.languages):
        if _LANGUAGE.fullmatch(language) is None:
            yield error(
                f"languages[{index}]",
                _("%(language)s is not a language code.") % {"language": language},
                _("Write en, nl, pt-BR and so on."),
            )


def _check_duration(spec: AgentSpec) -> Findings:
    if not 1 <= spec.max_duration_s <= MAX_DURATION_S:
        yield error("max_duration_s", _("A call may last 1 second to 4 hours."), _("Use 1800 for half an hour."))
    elif spec.max_duration_s < SHORT_DURATION_S:
        yield warning("max_duration_s", _("Callers are cut off before they have said much."), _("Use 600 or more."))
    if spec.wrap_up_s < 0:
        yield error("wrap_up_s", _("A time cannot be negative."), _("Use 60."))
    elif spec.wrap_up_s >= spec.max_duration_s:
        yield warning(
            "wrap_up_s", _("The agent is never told to finish before the call is cut."), _("Use 60, or less.")
        )
    if not spec.goodbye.strip():
        yield warning("goodbye", _("At the end of its time the call is cut without a word."), _("Write a goodbye."))


def _check_silence(silence: SilenceLadder) -> Findings:
    low, high = SILENCE_RANGE_S
    values = {"value": silence.after_s, "low": low, "high": high}
    if not MIN_SILENCE_S <= silence.after_s <= MAX_DURATION_S:  # also true for NaN
        yield error("silence.after_s", _("%(value)g seconds cannot be waited for.") % values, _("Use 8."))
    elif not low <= silence.after_s <= high:
        yield warning("silence.after_s", _("%(value)g is outside %(low)g to %(high)g seconds.") % values, _("Use 8."))
    if not silence.prompts:
        yield warning("silence.prompts", _("A silent caller is hung up on without being asked."), _("Add a prompt."))
    if len(silence.prompts) > MAX_PROMPTS:
        yield error("silence.prompts", _("A dead line would be kept for minutes."), _("Use one to three prompts."))
    for index, prompt in enumerate(silence.prompts):
        if not prompt.strip():
            yield error(f"silence.prompts[{index}]", _("The prompt is empty."), _("Write it or remove it."))
    if not silence.goodbye.strip():
        yield warning("silence.goodbye", _("A silent caller is hung up on without a word."), _("Write a goodbye."))


def _check_size(spec: AgentSpec) -> Findings:
    tools = [
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        for tool in (*builtins.for_agent(spec).values(), *(tool for tool in spec.tools if tool.kind != "builtin"))
    ]
    tokens = estimate_tokens(spec.instructions) + estimate_tokens(json.dumps(tools, ensure_ascii=False, default=str))
    values = {"tokens": tokens, "most": MAX_TOKENS}
    if tokens > MAX_TOKENS:
        yield error(
            "instructions",
            _("Instructions and tools are about %(tokens)d tokens; the model takes %(most)d.") % values,
            _("Shorten the instructions, or give tools to another agent and hand off."),
        )
    elif tokens > NEAR_MAX_SHARE * MAX_TOKENS:
        yield warning(
            "instructions",
            _("Instructions and tools are about %(tokens)d tokens, close to the model's limit of %(most)d.") % values,
            _("Shorten the instructions."),
        )


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few: a quarter per Latin character, one per character of other scripts."""
    plain = sum(char < "\u0250" for char in text)
    return math.ceil(plain / 4) + len(text) - plain


def _check_tools(spec: AgentSpec, secret_names: Collection[str] | None) -> Findings:
    yield from _check_unique("tools", "name", [tool.name for tool in spec.tools])
    if len(spec.tools) > MAX_TOOLS:
        yield warning("tools", _("With this many tools the model picks wrong ones."), _("Use several agents."))
    for index, tool in enumerate(spec.tools):
        yield from check_tool(tool, field=f"tools[{index}]", secret_names=secret_names)


def _check_people(spec: AgentSpec, agents: Mapping[str, AgentSpec] | None) -> Findings:
    has = {tool.name for tool in spec.tools if tool.kind == "builtin"}
    yield from _check_pair(has, builtins.TRANSFER_TO_PERSON, "contacts", bool(spec.contacts))
    yield from _check_pair(has, builtins.HAND_OFF, "hand_offs", bool(spec.hand_offs))
    yield from _check_unique("contacts", "name", [contact.name for contact in spec.contacts])
    for index, contact in enumerate(spec.contacts):
        yield from _check_contact(contact, f"contacts[{index}]")
    yield from _check_unique("hand_offs", "agent", [target.agent for target in spec.hand_offs])
    for index, target in enumerate(spec.hand_offs):
        field = f"hand_offs[{index}].agent"
        if target.agent == spec.name:
            yield error(field, _("An agent cannot hand off to itself."), _("Name another agent."))
        elif agents is not None and target.agent not in agents:
            yield error(
                field,
                _("There is no agent %(name)s.") % {"name": target.agent},
                _("Create it first, or remove it here."),
            )
        elif agents is not None:
            other = agents[target.agent].realtime
            if (other.voice, other.model) != (spec.realtime.voice, spec.realtime.model):
                yield warning(  # openai-realtime.md §3.2: fixed for a session
                    field,
                    _("After the hand-off the caller goes on hearing this agent's voice and model."),
                    _("Give both agents the same voice and model."),
                )


def _check_pair(has: set[str], tool: str, field: str, filled: bool) -> Findings:
    if tool in has and not filled:
        yield error(
            field,
            _("The agent has the tool %(tool)s and nobody to pick.") % {"tool": tool},
            _("Add an entry, or remove the tool."),
        )
    elif filled and tool not in has:
        yield warning(field, _("The agent cannot use these."), _("Give it the tool %(tool)s.") % {"tool": tool})


def _check_contact(contact: Contact, field: str) -> Findings:
    if not contact.name.strip():
        yield error(f"{field}.name", _("The contact has no name."), _("The agent picks contacts by name."))
    field += ".e164"
    try:
        number = phonenumbers.parse(contact.e164, None)
    except phonenumbers.NumberParseException:
        yield error(field, _("This is not a phone number."), _("Write it with country code, as +31201234567."))
        return
    written = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if _is_emergency(number):
        yield error(field, _("Agents may not ring emergency services."), _("Name a person."))
    elif not phonenumbers.is_possible_number(number):
        yield error(field, _("No number of that country has this length."), _("Check the digits."))
    elif written != contact.e164:
        yield error(field, _("This is not how the carrier wants it."), _("Write %(number)s.") % {"number": written})
    elif phonenumbers.number_type(number) == PhoneNumberType.PREMIUM_RATE:
        yield error(field, _("Agents may not ring premium-rate numbers."), _("Name an ordinary number."))
    elif phonenumbers.number_type(number) == PhoneNumberType.SHARED_COST:
        yield warning(field, _("Calls to this number cost more than others."), _("Name an ordinary number."))
    elif not phonenumbers.is_valid_number(number):
        yield warning(field, _("This number is not in use as far as is known."), _("Check the digits."))


def _is_emergency(number: PhoneNumber) -> bool:
    national = str(number.national_number)
    regions = phonenumbers.region_codes_for_country_code(number.country_code or 0)
    return any(shortnumberinfo.is_emergency_number(national, region) for region in regions)


def _check_collected(spec: AgentSpec) -> Findings:
    yield from _check_unique("collect", "name", [field.name for field in spec.collect])
    for index, field in enumerate(spec.collect):
        if _FIELD_NAME.fullmatch(field.name) is None:
            yield error(
                f"collect[{index}].name",
                _("%(name)s cannot be a field's name.") % {"name": field.name or "''"},
                _("Use letters, digits and underscores, as birth_date."),
            )


def _check_guardrails(spec: AgentSpec) -> Findings:
    yield from _check_unique("guardrails", "name", [rail.name for rail in spec.guardrails])
    for index, rail in enumerate(spec.guardrails):
        yield from _check_guardrail(rail, spec, f"guardrails[{index}]")


def _check_guardrail(rail: Guardrail, spec: AgentSpec, field: str) -> Findings:
    if not rail.name.strip():
        yield error(f"{field}.name", _("The guardrail has no name."), _("Records and screens need one."))
    if not rail.correction.strip():
        yield warning(
            f"{field}.correction", _("The agent is not told what to say instead."), _("Write one sentence to it.")
        )
    if rail.kind == "judge":
        if not rail.question.strip():
            yield error(
                f"{field}.question", _("The judge has no question."), _("Ask one that yes answers when it trips.")
            )
        return
    if not rail.pattern:
        yield error(f"{field}.pattern", _("The guardrail has no pattern."), _("Write a regular expression."))
        return
    if fault := find_pattern_fault(rail.pattern):
        yield error(
            f"{field}.pattern", _("The pattern cannot be used: %(reason)s.") % {"reason": fault}, _("Simplify it.")
        )
        return
    pattern = re.compile(rail.pattern, re.IGNORECASE)
    if pattern.search("") is not None:
        yield error(f"{field}.pattern", _("The pattern fits everything, even nothing."), _("Make some part required."))
        return
    for name in ("greeting", "disclosure", "goodbye"):
        if pattern.search(getattr(spec, name)[:MAX_SPOKEN_CHARS]) is not None:
            yield error(
                f"{field}.pattern",
                _("The agent's own %(name)s trips this guardrail.") % {"name": name},
                _("Narrow the pattern, or change the text."),
            )


def _check_unique(field: str, key: str, values: list[str]) -> Findings:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield error(
                f"{field}[{index}].{key}", _("%(value)s is there twice.") % {"value": value}, _("Rename or remove one.")
            )
