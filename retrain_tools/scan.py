"""Say what a downloaded file could do beside computing. Nothing of it is run.

  python -m retrain_tools.scan model.pb
  python -m retrain_tools.scan saved_model_folder model.keras archive.tgz features.npy
  python -m retrain_tools.scan --summary downloads
  python -m retrain_tools.scan --format=sarif model.pb > model.sarif

Looked into are GraphDefs, MetaGraphs and SavedModels (their nodes, functions, and graphs hidden in
strings), Keras, TensorFlow Lite and NumPy files, pickles, and archives and folders of such.
Findings are high (could read, write or send what is none of its business, or run a program),
medium (cannot be judged, or does a little beside computing) or low (worth knowing, and ordinary).

The exit status is 0 for clean files, 1 where anything is medium or high, and 2 after an error.
Whatever runs graphs here refuses one whose running part has high findings, unless
--allow_unsafe_graph is given. A clean file is no proof: nobody can find everything.
"""

from __future__ import annotations

import sys

from absl import flags

from retrain_tools import command_line
from retrain_tools.errors import InputError
from retrain_tools.listing.sarif import scan_sarif
from retrain_tools.listing.scan_text import scan_json, scan_summary, scan_table
from retrain_tools.listing.terminal import show, style_of_stdout
from retrain_tools.safety.findings import Report, plain
from retrain_tools.safety.scanning import scan

flags.DEFINE_enum("format", "table", ["table", "json", "sarif"], "How to print the findings.")
flags.DEFINE_boolean("summary", False, "One line for each file, instead of a table.")
FLAGS = flags.FLAGS

_FOUND, _ERROR = 1, 2  # exit statuses


def main(words: list[str]) -> None:
    """Run the script."""
    if not words:
        raise InputError("Name the files or folders to look into, after the flags.")
    if FLAGS.summary and FLAGS.format != "table":
        raise InputError("--summary is a form of its own; leave out --format.")
    reports: list[Report] = []
    failed = False
    for word in words:
        try:
            reports.append(scan(word))
        except InputError as error:  # the others are looked into all the same
            print(f"error: {plain(' '.join(str(error).splitlines()))}", file=sys.stderr)
            failed = True
    style = style_of_stdout()
    if FLAGS.format == "json":
        show(scan_json(reports))
    elif FLAGS.format == "sarif":
        show(scan_sarif(reports))
    else:
        show((scan_summary if FLAGS.summary else scan_table)(reports, style))
    sys.stdout.flush()
    if failed:
        sys.exit(_ERROR)
    if not all(report.is_clean for report in reports):
        sys.exit(_FOUND)


def script() -> None:
    """Run as a console script."""
    command_line.run(main, takes_words=True)


if __name__ == "__main__":
    script()
