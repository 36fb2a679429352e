"""Which agent answers a number and what is tried next: checked against what the code can run, then one atomic change."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from agents.models import Agent
from calls.models import Route
from calls.vocabulary import Path, Step
from tenants.models import Number

# The registry of what runs today; a path or rung is added here together with the code that runs it.
RUNNABLE_PATHS = frozenset({Path.STREAMS, Path.SIP})
RUNNABLE_STEPS = frozenset({Step.STREAMS, Step.SIP, Step.PERSON, Step.VOICEMAIL, Step.GOODBYE})
ARRANGEMENTS = ("dial", "trunk")  # of the path sip; the first is the default
LONGEST_LADDER = 8

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # for ids that people may have to read out: no l/1, o/0


def check_ladder(ladder: Sequence[str], *, path: str, person_e164: str) -> None:
    """Raises ValidationError naming the field and the mend."""
    if path not in RUNNABLE_PATHS:
        raise ValidationError(
            {
                "path": _("This installation cannot run the path “%(path)s”; use %(known)s.")
                % {"path": path, "known": ", ".join(sorted(RUNNABLE_PATHS))}
            }
        )
    if not ladder:
        raise ValidationError({"ladder": _("Give at least one step, e.g. streams, voicemail.")})
    if len(ladder) > LONGEST_LADDER:
        raise ValidationError({"ladder": _("At most %(count)d steps.") % {"count": LONGEST_LADDER}})
    for step in ladder:
        if step not in RUNNABLE_STEPS:
            known = ", ".join(sorted(RUNNABLE_STEPS))
            raise ValidationError(
                {"ladder": _("Unknown step “%(step)s”; use %(known)s.") % {"step": step, "known": known}}
            )
    if Step.PERSON in ladder and not person_e164:
        raise ValidationError({"person_e164": _("The ladder has the step person: give that person's number.")})


def check_arrangement(arrangement: str, *, path: str) -> str:
    """The arrangement that goes with the path. Raises ValidationError naming the field and the mend."""
    if path != Path.SIP:
        if arrangement:
            raise ValidationError({"arrangement": _("Only the path sip has an arrangement; leave it out.")})
        return ""
    if arrangement and arrangement not in ARRANGEMENTS:
        raise ValidationError(
            {
                "arrangement": _("Unknown arrangement “%(given)s”; use %(known)s.")
                % {"given": arrangement, "known": ", ".join(ARRANGEMENTS)}
            }
        )
    return arrangement or ARRANGEMENTS[0]


@transaction.atomic
def save_route(
    number: Number,
    *,
    agent: Agent | None,
    path: str = Path.STREAMS,
    arrangement: str = "",
    ladder: Sequence[str] = (Step.STREAMS, Step.VOICEMAIL),
    person_name: str = "",
    person_e164: str = "",
    voicemail_greeting: str = "",
) -> Route:
    """Set the number's route. Its public id is made once and stays, so the carrier's configuration never drifts by a change here."""
    check_ladder(ladder, path=path, person_e164=person_e164)
    arrangement = check_arrangement(arrangement, path=path)
    route = Route.objects.filter(number=number).first() or Route(number=number, public_id=_new_public_id())
    route.arrangement = arrangement
    route.agent, route.path, route.ladder = agent, Path.of(path), [str(step) for step in ladder]
    route.person_name, route.person_e164, route.voicemail_greeting = person_name, person_e164, voicemail_greeting
    route.check_tenant()
    route.full_clean(validate_constraints=False)
    route.save()
    return route


def _new_public_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(26))  # 130 bits: not to be guessed
