from upstash_helper.cli.output import moment, sheet, styled, table


def test_columns_are_aligned() -> None:
    """
    A column is as wide as its widest cell, and no line ends in spaces.
    """
    assert "NAME    ID\norders  1\nx" == table([("orders", "1"), ("x", "")], header=("NAME", "ID"))


def test_nothing_is_an_empty_table() -> None:
    """
    Without rows and header there is nothing to show.
    """
    assert not table([])


def test_sheet_names_its_values() -> None:
    """
    A sheet has one line for each value.
    """
    assert "Name:  orders\nId:    1" == sheet([("Name", "orders"), ("Id", "1")])


def test_names_cannot_steer_the_terminal() -> None:
    """
    Control characters in a name that came from elsewhere are shown as such and do nothing.
    """
    shown = table([("a\x1b[31m\r\nb\u202e",)])

    assert "a\ufffd[31m\ufffd\ufffdb\ufffd" == shown


def test_no_color_without_a_terminal() -> None:
    """
    What goes into a file or a pipe has no color codes.
    """
    assert "ok" == styled("ok", "green")


def test_times_are_the_users_own() -> None:
    """
    A timestamp is shown in local time; one that is none is shown as it is.
    """
    assert "2026-01-0" == moment("2026-01-02T03:04:05Z")[:9]
    assert "soon" == moment("soon")
