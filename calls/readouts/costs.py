"""What a call cost, line by line and summed per layer and currency; exact decimals, rounded by whoever shows them (decision 7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from calls.models import LedgerEntry
from calls.vocabulary import Layer


@dataclass(frozen=True, slots=True)
class ItemCost:
    """All lines of one item at one price: what a person reads. Each response of the model writes lines of its own."""

    entries: tuple[LedgerEntry, ...]

    @property
    def first(self) -> LedgerEntry:
        """Stands for what the lines have in common: item, unit, unit price, currency, state, card, cause."""
        return self.entries[0]

    @property
    def quantity(self) -> Decimal:
        return sum((entry.quantity for entry in self.entries), Decimal())

    @property
    def amount(self) -> Decimal:
        return sum((entry.amount for entry in self.entries), Decimal())


@dataclass(frozen=True, slots=True)
class LayerCost:
    """The lines of one layer in one currency, with their sum."""

    layer: Layer
    currency: str
    entries: tuple[LedgerEntry, ...]

    @property
    def amount(self) -> Decimal:
        return sum((entry.amount for entry in self.entries), Decimal())

    @property
    def items(self) -> list[ItemCost]:
        """The lines gathered by everything but quantity and time; an estimate never hides an adjustment."""
        groups: dict[tuple[object, ...], list[LedgerEntry]] = {}
        for entry in self.entries:
            key = (
                entry.item,
                entry.unit,
                entry.unit_price,
                entry.state,
                entry.rate_card_id,
                entry.cause,
                entry.usage_lost,
            )
            groups.setdefault(key, []).append(entry)
        return [ItemCost(tuple(entries)) for entries in groups.values()]


@dataclass(frozen=True, slots=True)
class Costs:
    """All lines of one call. Amounts of different currencies are never added up."""

    layers: tuple[LayerCost, ...]

    @property
    def totals(self) -> list[tuple[str, Decimal]]:
        """(currency, sum) pairs; more than one when vendors bill in different currencies."""
        sums: dict[str, Decimal] = {}
        for layer in self.layers:
            sums[layer.currency] = sums.get(layer.currency, Decimal()) + layer.amount
        return sorted(sums.items())

    @property
    def line_count(self) -> int:
        return sum(len(layer.entries) for layer in self.layers)

    @property
    def is_usage_lost(self) -> bool:
        return any(entry.usage_lost for layer in self.layers for entry in layer.entries)


def read_costs(entries: Iterable[LedgerEntry]) -> Costs:
    """Groups the lines by layer, in the vocabulary's order."""
    groups: dict[tuple[Layer, str], list[LedgerEntry]] = {}
    for entry in entries:
        groups.setdefault((Layer.of(entry.layer), entry.currency), []).append(entry)
    order = {layer: place for place, layer in enumerate(Layer)}
    return Costs(
        tuple(
            LayerCost(layer, currency, tuple(sorted(lines, key=lambda entry: (entry.item, entry.occurred_at))))
            for (layer, currency), lines in sorted(groups.items(), key=lambda group: (order[group[0][0]], group[0][1]))
        )
    )
