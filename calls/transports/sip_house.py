"""A control process's way to rows and to the carrier: who an invitation is, who takes a call over, what the carrier shows."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from calls.models import Call, Route, SipInvitation
from calls.services import invitations, live, processes, sip_admission, sip_lines
from calls.services.addresses import resume_url
from calls.services.sip_admission import Admitted
from calls.services.sip_lines import Orphan
from calls.transports.house import SwitchboardHouse
from calls.transports.ports import LiveCall
from calls.vocabulary import Cause, Fault
from tenants.models import Tenant
from tenants.scope import tenant_scope

AT_ONCE = 32  # invitations and orphans taken in one look; the next look follows at once while there are more


class SipHouse(SwitchboardHouse):
    """One a control process. Implements calls.transports.sip_bridge.SipDesk besides what every path needs."""

    # --- what waits -------------------------------------------------------------------------------------------------

    async def claim_invitations(self) -> list[SipInvitation]:
        return await self.ask(invitations.claim_invitations, processes.current_id(), at_most=AT_ONCE)

    async def find_orphans(self) -> list[Orphan]:
        return await self.ask(sip_lines.find_orphans, processes.current_id(), at_most=AT_ONCE * 4)

    async def find_lost(self, held: Mapping[UUID, int]) -> set[UUID]:
        return await self.ask(sip_lines.find_lost, held)

    # --- one call ---------------------------------------------------------------------------------------------------

    async def admit_sip(self, invitation: SipInvitation) -> tuple[Admitted, LiveCall]:
        """Raises sip_admission.Refusal, GatewayError when the carrier cannot be asked, DatabaseError."""

        def admit() -> tuple[Admitted, LiveCall]:
            admitted = sip_admission.admit(invitation)
            return admitted, self._furnish(admitted.tenant, admitted.call, token=admitted.token, plan=admitted.plan)

        return await self.ask(admit)

    async def take_over(self, orphan: Orphan) -> tuple[Admitted, LiveCall] | None:
        def take() -> tuple[Admitted, LiveCall] | None:
            admitted = sip_lines.take_over(orphan, process_id=processes.current_id())
            if admitted is None:
                return None
            return admitted, self._furnish(admitted.tenant, admitted.call, token=admitted.token, plan=admitted.plan)

        return await self.ask(take)

    async def end_invitation(self, invitation: SipInvitation, *, state: str, reason: str = "") -> None:
        await self.ask(invitations.end_invitation, invitation.pk, state=state, reason=reason)

    async def accept_failed(self, admitted: Admitted, *, cause: Cause, fault: Fault, detail: str) -> None:
        def fail() -> None:
            with tenant_scope(admitted.tenant):
                sip_lines.accept_failed(admitted, cause=cause, fault=fault, detail=detail)

        self._carriers.pop(admitted.call.pk, None)
        self._secrets.pop(admitted.call.pk, None)
        await self.ask(fail)

    def release_for_another(self, call: LiveCall) -> None:
        """Let go of a live call in order: whoever looks next attaches to it."""
        self._carriers.pop(call.call_id, None)
        self._secrets.pop(call.call_id, None)
        self._later(self._let_go(call))

    async def _let_go(self, call: LiveCall) -> None:
        def let_go() -> bool:
            with tenant_scope(Tenant(pk=call.tenant_id)):
                return live.let_go(call.call_id, token=call.token)

        await self._insist(let_go)

    # --- the desk ---------------------------------------------------------------------------------------------------

    async def ask_again(self, call: LiveCall) -> None:
        carrier = self._carriers.get(call.call_id)
        if carrier is not None:
            await self.ask(carrier.update_call, call.carrier_sid, url=resume_url(call.ref))

    async def find_transfer(self, call: LiveCall, e164: str) -> str:
        def look() -> str:
            with tenant_scope(Tenant(pk=call.tenant_id)):
                return live.find_transfer(Call.objects.get(pk=call.call_id), e164)

        return await self.ask(look)

    async def find_person(self, call: LiveCall) -> str:
        def look() -> str:
            with tenant_scope(Tenant(pk=call.tenant_id)):
                route = Route.objects.filter(number__calls=call.call_id).first()
                return route.person_e164 if route else ""

        return await self.ask(look)

    async def note_sip(self, admitted: Admitted, state: str, *, detail: str = "") -> None:
        def note() -> None:
            with tenant_scope(admitted.tenant):
                sip_lines.note_sip(admitted.call, state, model_call_id=admitted.model_call_id, detail=detail)

        await self.ask(note)
