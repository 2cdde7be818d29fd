#!/usr/bin/env bash
# Everything CI checks: installs with the test tools, lints, type-checks, tests.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/venv.sh "[test]"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
exec .venv/bin/python -m pytest "$@"
