from upstash_helper.cli.output import colored, key_values, local_time, table


def test_columns_are_aligned() -> None:
    """
    A column is as wide as its widest cell, and no line ends in spaces.
    """
    assert "NAME    ID\norders  1\nx" == table([("orders", "1"), ("x", "")], header=("NAME", "ID"))


def test_no_rows_and_no_header_are_an_empty_string() -> None:
    """
    Without rows and header the result is empty.
    """
    assert not table([])


def test_key_values_has_a_line_per_value() -> None:
    """
    Each value has a line with its key.
    """
    assert "Name:  orders\nId:    1" == key_values([("Name", "orders"), ("Id", "1")])


def test_control_characters_are_replaced() -> None:
    """
    Control characters in a name that an app chose do not reach the terminal.
    """
    printable = table([("a\x1b[31m\r\nb\u202e",)])

    assert "a\ufffd[31m\ufffd\ufffdb\ufffd" == printable


def test_no_color_without_a_terminal() -> None:
    """
    A file or pipe gets no color codes.
    """
    assert "ok" == colored("ok", "green")


def test_times_are_in_the_users_time_zone() -> None:
    """
    A timestamp is shown in local time; text that is not a timestamp stays unchanged.
    """
    assert "2026-01-0" == local_time("2026-01-02T03:04:05Z")[:9]
    assert "soon" == local_time("soon")
