# Sourced by demo.sh and test.sh: makes .venv if it is missing and installs the package into it.
# $1: extras, such as [test]. PYTHON names the interpreter to make .venv with.
if [ ! -x .venv/bin/python ]; then
  for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11, 4) <= sys.version_info < (3, 14))' 2>/dev/null; then
      "$candidate" -m venv .venv
      break
    fi
  done
  if [ ! -x .venv/bin/python ]; then
    echo "error: Python 3.11.4 to 3.13 with venv is needed; name one with PYTHON=/path/to/python" >&2
    exit 2
  fi
fi
echo "Installing into .venv (TensorFlow is large: this takes a minute or two the first time)" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$1"
