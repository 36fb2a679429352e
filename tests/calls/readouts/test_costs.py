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
