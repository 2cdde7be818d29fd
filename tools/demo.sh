#!/usr/bin/env bash
# A first look on a bare machine: makes .venv, installs the package, runs the demo.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/venv.sh ""
exec .venv/bin/python -m retrain_tools.demo "$@"
