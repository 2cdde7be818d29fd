"""How a script ends: exit status, one line or a traceback. Each test runs a script of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = '''"""Does something.

  python script.py --graph=FILE

It does no more.
"""
import errno, logging, os, sys, time
from absl import flags
from retrain_tools import command_line
from retrain_tools.errors import InputError

GRAPH = flags.DEFINE_string("graph", None, "A file.")
STEPS = flags.DEFINE_integer("steps", 4000, "How many.", lower_bound=1)
NAME = flags.DEFINE_string("name", "final_result", "A name.")
SLOW = flags.DEFINE_boolean("slow", False, "Whether to be slow.")
log = logging.getLogger("retrain_tools.script")

def main(arguments):
{body}

if __name__ == "__main__":
    command_line.run(main, takes_words=True)
'''


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def command(script: Path, body: str, *arguments: str) -> list[str]:
    script.write_text(SCRIPT.replace("{body}", f"    {body}"))
    return [sys.executable, str(script), *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def ended(script: Path, body: str, *arguments: str) -> tuple[int, str, str]:
    result = subprocess.run(
        command(script, body, *arguments),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    return result.returncode, result.stdout, result.stderr


def test_results_go_to_stdout_and_log_lines_to_stderr(script: Path) -> None:
    body = 'log.info("working"); log.debug("unseen"); log.warning("odd"); print(arguments)'
    assert ended(script, body, "a", "--steps=3", "b") == (
        0,
        "['a', 'b']\n",
        "working\nwarning: odd\n",
    )


def test_an_unknown_flag_gets_the_nearest(script: Path) -> None:
    status, stdout, stderr = ended(script, "print(1)", "--grpah=x")
    assert (status, stdout) == (2, "")
    assert stderr.startswith("error: Unknown command line flag 'grpah'. Did you mean: graph")
    assert stderr.count("\n") == 1


def test_a_bad_value_names_flag_and_rule(script: Path) -> None:
    status, _, stderr = ended(script, "print(1)", "--steps=0")
    assert status == 2
    assert stderr.startswith("error: flag --steps=0: ")
    assert stderr.count("\n") == 1


def test_an_input_error_is_one_line(script: Path) -> None:
    body = r'raise InputError("No such thing.\nTake another.")'
    assert ended(script, body) == (2, "", "error: No such thing. Take another.\n")


def test_a_missing_flag(script: Path) -> None:
    body = 'command_line.require("graph", "name")'
    assert ended(script, body) == (2, "", "error: --graph must be given; see --help.\n")
    assert ended(script, body, "--name=") == (
        2,
        "",
        "error: --graph and --name must be given; see --help.\n",
    )
    assert ended(script, body, "--graph=x") == (0, "", "")


def test_an_os_error_is_one_line(script: Path) -> None:
    body = 'open("/no/such/file")'
    assert ended(script, body) == (
        2,
        "",
        "error: No such file or directory: /no/such/file\n",
    )


def test_a_full_disk_is_named_with_the_way_out(script: Path, tmp_path: Path) -> None:
    body = f"raise OSError(28, 'No space left on device', '{tmp_path}/new/result.npz')"
    status, stdout, stderr = ended(script, body)
    assert (status, stdout) == (2, "")
    assert re.fullmatch(
        rf"error: No space left on device: {tmp_path}/new/result\.npz \([\d,]+ bytes are free "
        r"there\)\. Make room, or choose another place; what is done is kept, and the same "
        r"command goes on\.\n",
        stderr,
    )


def test_missing_memory_is_one_line_with_the_way_out(script: Path) -> None:
    assert ended(script, "raise MemoryError") == (
        2,
        "",
        "error: There is not enough memory. Fewer images at a time take less (--batch_size, "
        "--threads); what is done is kept, and the same command goes on.\n",
    )


def test_an_interrupt_while_the_script_is_imported_is_one_line(script: Path) -> None:
    script.write_text("from retrain_tools import command_line\nraise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment()
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "interrupted\n")


def test_a_bug_keeps_its_traceback(script: Path) -> None:
    status, stdout, stderr = ended(script, 'raise KeyError("pool_3")')
    assert (status, stdout) == (1, "")
    assert stderr.startswith("Traceback (most recent call last):\n")
    assert stderr.endswith("KeyError: 'pool_3'\n")


def test_an_interrupt_is_130(script: Path) -> None:
    process = subprocess.Popen(
        command(script, 'print("ready", flush=True); time.sleep(60)'),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)  # into the sleep, past the print
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "interrupted\n")
    assert process.returncode == 130


def test_a_reader_that_leaves_early_is_no_error(script: Path) -> None:
    body = 'print("first", flush=True); sys.stdout.write("x" * 1_000_000)'
    process = subprocess.Popen(
        command(script, body), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"first\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(30) == 0
    process.stderr.close()


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull"])
def test_help_is_the_docstring_and_the_flags(script: Path, flag: str) -> None:
    assert ended(script, "raise KeyError", flag) == (
        0,
        """\
Does something.

  python script.py --graph=FILE

It does no more.

Flags:
  --graph
      A file.
  --steps (default: 4000)
      How many.
  --name (default: 'final_result')
      A name.
  --[no]slow (default: false)
      Whether to be slow.
""",
        "",
    )


def test_a_name_that_the_output_cannot_spell_is_printed_all_the_same(script: Path) -> None:
    done = subprocess.run(
        command(script, 'print("made \\udcff")'),
        capture_output=True,
        check=False,
        env=environment() | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    assert (done.returncode, done.stdout) == (0, b"made \\udcff\n")
