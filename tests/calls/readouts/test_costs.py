"""A call's costs by layer: exact sums, and never across currencies."""

from __future__ import annotations

from decimal import Decimal

from calls.models import LedgerEntry
from calls.readouts.costs import read_costs


def line(layer: str, amount: str, *, currency: str = "USD", item: str = "x", usage_lost: bool = False) -> LedgerEntry:
    return LedgerEntry(layer=layer, amount=Decimal(amount), currency=currency, item=item, usage_lost=usage_lost)


def test_layers_stand_in_the_vocabularys_order_with_exact_sums() -> None:
    costs = read_costs(
        [line("carrier", "0.0085"), line("model", "0.1", item="b"), line("model", "0.000000000000000001", item="a")]
    )
    assert [(layer.layer, layer.amount) for layer in costs.layers] == [
        ("model", Decimal("0.100000000000000001")),
        ("carrier", Decimal("0.0085")),
    ]
    assert [entry.item for entry in costs.layers[0].entries] == ["a", "b"]
    assert costs.totals == [("USD", Decimal("0.108500000000000001"))]


def test_currencies_are_never_added_up() -> None:
    costs = read_costs([line("model", "1"), line("carrier", "2", currency="EUR"), line("carrier", "3")])
    assert costs.totals == [("EUR", Decimal(2)), ("USD", Decimal(4))]
    assert [(layer.layer, layer.currency) for layer in costs.layers] == [
        ("model", "USD"),
        ("carrier", "EUR"),
        ("carrier", "USD"),
    ]


def test_lost_usage_is_noticed_and_no_lines_cost_nothing() -> None:
    assert read_costs([line("model", "1", usage_lost=True)]).is_usage_lost
    assert read_costs([]).totals == []


def test_lines_of_one_item_at_one_price_are_read_as_one() -> None:
    entries = [
        LedgerEntry(
            layer="model", item=item, unit="token", unit_price=Decimal(price), quantity=Decimal(quantity),
            amount=Decimal(quantity) * Decimal(price), currency="USD", state=state,
        )
        for item, price, quantity, state in (
            ("audio_in", "0.00003", "100", "estimate"),
            ("audio_in", "0.00003", "50", "estimate"),
            ("audio_in", "0.00004", "10", "estimate"),
            ("audio_in", "0.00003", "-5", "adjustment"),
        )
    ]  # fmt: skip
    costs = read_costs([*entries])
    (layer,) = costs.layers
    assert [(item.quantity, item.first.unit_price, item.first.state) for item in layer.items] == [
        (Decimal(150), Decimal("0.00003"), "estimate"),
        (Decimal(10), Decimal("0.00004"), "estimate"),
        (Decimal(-5), Decimal("0.00003"), "adjustment"),
    ]
    assert sum(item.amount for item in layer.items) == layer.amount
    assert costs.line_count == 4
