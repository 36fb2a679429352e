"""The table of product 5.0: complete, and honest about what is not confirmed."""

from pathlib import Path

from calls.session.capabilities import TABLE, Ability, Arrangement, Support, can, look_up, render_table


def test_every_ability_is_answered_for_every_arrangement() -> None:
    assert {(ability, arrangement) for ability in TABLE for arrangement in TABLE[ability]} == {
        (ability, arrangement) for ability in Ability for arrangement in Arrangement
    }


def test_a_limited_or_unconfirmed_cell_names_its_condition() -> None:
    for row in TABLE.values():
        for cell in row.values():
            assert cell.how or cell.support in (Support.YES, Support.NO)


def test_what_is_unconfirmed_is_off_until_it_is_confirmed() -> None:
    assert not can(Ability.LIVE_LISTEN, Arrangement.RELAY)
    assert can(Ability.LIVE_LISTEN, Arrangement.RELAY, confirmed={"live_listen:relay"})


def test_streams_send_digits_and_trunks_do_not() -> None:
    assert can(Ability.DIGITS_OUT, Arrangement.STREAMS)
    assert not can(Ability.DIGITS_OUT, Arrangement.SIP_TRUNK)
    assert look_up(Ability.RECORDING, Arrangement.SIP_TRUNK).support is Support.LIMITED


def test_the_documentation_shows_this_table() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "call-session.md"

    assert render_table() in page.read_text()
