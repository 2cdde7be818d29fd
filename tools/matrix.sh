#!/usr/bin/env bash
# Runs the tests under the lowest and highest Python and TensorFlow that the README promises.
#
#   bash tools/matrix.sh [FOLDER] [pytest arguments]
#
# One environment a row in FOLDER (default: .matrix), kept for the next run. Prints the table that
# BUILD.md has; the exit status is 1 if a row does not pass.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-.matrix}")
[ $# = 0 ] || shift
failed=0
table="| Python | TensorFlow | Keras | tf_keras | NumPy | tests |
|---|---|---|---|---|---|"
while read -r python tensorflow; do
  environment=$folder/python$python-tensorflow$tensorflow
  if [ ! -x "$environment/bin/python" ]; then
    if ! command -v "python$python" >/dev/null; then
      echo "error: python$python is not on the PATH." >&2
      exit 2
    fi
    "python$python" -m venv "$environment" || exit 2
  fi
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    --editable ".[test]" "tensorflow==$tensorflow.*" || exit 2
  log=$environment/tests.log
  echo "Python $python, TensorFlow $tensorflow: the tests run, see $log" >&2
  "$environment/bin/python" -m pytest -p no:cacheprovider -n 2 --dist worksteal "$@" >"$log" 2>&1 || failed=1
  versions=$("$environment/bin/python" - <<'VERSIONS'
import importlib.metadata
import platform

names = ("tensorflow", "keras", "tf_keras", "numpy")
print(platform.python_version(), *map(importlib.metadata.version, names), sep=" | ")
VERSIONS
  )
  table+="
| $versions | $(tail -n 1 "$log" | tr -d =) |"
done <<'ROWS'
3.11 2.18
3.13 2.21
ROWS
echo "$table"
exit "$failed"
