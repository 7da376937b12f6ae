from upstash_helper.cli.output import local_time, key_values, colored, table


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
    A key_values has one line for each value.
    """
    assert "Name:  orders\nId:    1" == key_values([("Name", "orders"), ("Id", "1")])


def test_names_cannot_steer_the_terminal() -> None:
    """
    Control characters in a name that came from elsewhere are printable as such and do nothing.
    """
    printable = table([("a\x1b[31m\r\nb\u202e",)])

    assert "a\ufffd[31m\ufffd\ufffdb\ufffd" == printable


def test_no_color_without_a_terminal() -> None:
    """
    What goes into a file or a pipe has no color codes.
    """
    assert "ok" == colored("ok", "green")


def test_times_are_the_users_own() -> None:
    """
    A timestamp is printable in local time; one that is none is printable as it is.
    """
    assert "2026-01-0" == local_time("2026-01-02T03:04:05Z")[:9]
    assert "soon" == local_time("soon")
