#!/usr/bin/env bash
# Everything CI checks: installs with the test tools, lints, type-checks, tests.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/venv.sh "[test]"
# The tests of the graph page drive a browser; elsewhere they are skipped where there is none.
if [ "${CI:-}" = true ] && ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  (apt-get -qq update && apt-get -qq install -y chromium chromium-driver) >/dev/null ||
    echo "no browser could be installed; its tests will be skipped" >&2
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# Two processes: each test starts others, and TensorFlow takes a gigabyte in each. A test is taken from
# the other's queue when one's own is empty, so files stay together with what they make once.
exec .venv/bin/python -m pytest -n 2 --dist worksteal "$@"
