"""Names of strangers' files on terminals and in log lines: nothing in them is obeyed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from hypothesis import given, strategies as st

from retrain_tools.text_tables import Style, aligned, printable, printable_text

NAME = "\x1b[2Jtwo\nlines\u2028\u202e.jpg"
SHOWN = r"\x1b[2Jtwo\nlines\u2028\u202e.jpg"


def test_a_name_is_one_line_of_characters_that_show():
    assert printable(NAME) == SHOWN
    assert printable("é 漢 😀") == "é 漢 😀"


@given(st.text())
def test_what_is_printable_stays_and_nothing_else(name):
    shown = printable(name)
    assert shown.isprintable()
    assert (shown == name) is name.isprintable()


def test_text_keeps_its_lines_and_colours_and_escapes_the_rest():
    text = f"{Style(True).red('gone')}\ta\n\x1b]0;title\x07"
    assert printable_text(text) == "\x1b[31mgone\x1b[0m\ta\n\\x1b]0;title\\x07"


def test_cells_of_tables_are_one_line():
    assert aligned([("name",), (NAME,)], Style()) == f"name\n{SHOWN}\n"


def test_a_terminal_gets_no_commands_from_names(tmp_path):
    # A script's run with a terminal for stdout, as `show` and `print` see one.
    code = f"""
import sys
from retrain_tools import command_line
def main(_):
    print({NAME!r})
sys.argv = ['x']
command_line.run(main)
"""
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", code], stdout=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 1000).decode()
    os.close(ours)
    assert shown == "\\x1b[2Jtwo\r\nlines\\u2028\\u202e.jpg\r\n"
