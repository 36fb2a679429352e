"""Sets and removes a tenant's budgets, with audit; they warn on the pages and stop nothing."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction

from calls.models import Budget
from tenants import audit

_FIELDS = ("amount", "currency", "warn_percent")


@transaction.atomic
def set_budget(period: str, *, amount: Decimal, currency: str, warn_percent: int) -> Budget:
    """Make or change the budget of one period. Raises ValidationError naming the field."""
    budget = Budget.objects.filter(period=period).first() or Budget(period=period)
    before = {} if budget._state.adding else audit.values_of(budget, _FIELDS)
    budget.amount, budget.currency, budget.warn_percent = amount, currency, warn_percent
    budget.check_tenant()
    budget.full_clean(validate_unique=False, validate_constraints=False)
    budget.save()
    audit.note_change("budget.set", budget, before=before, fields=_FIELDS)
    return budget


@transaction.atomic
def remove_budget(period: str) -> bool:
    """False when there was none."""
    budget = Budget.objects.filter(period=period).first()
    if budget is None:
        return False
    audit.note("budget.removed", budget, before=audit.values_of(budget, _FIELDS))
    budget.delete()
    return True
