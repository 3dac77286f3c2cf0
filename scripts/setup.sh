#!/bin/sh
# The first step of set-up: finds on PATH a Python that can make virtual environments and hands over to setup.py.
# PYTHON=/path/to/python chooses another one.
set -eu
cd "$(dirname "$0")/.."

# Not the Python inside .venv, which set-up may have to replace.
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -vxF "$PWD/.venv/bin" | paste -sd: -)
fits='import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'
names="${PYTHON:-python3 python python3.14 python3.13 python3.12 python3.11}"

# Debian splits ensurepip off; pip can then furnish the environment from outside.
for needs in ensurepip.bootstrap pip.__version__; do
    for name in $names; do
        if "$name" -c "$fits" >/dev/null 2>&1 && "$name" -c "import ${needs%%.*}; $needs" >/dev/null 2>&1; then
            exec "$name" scripts/setup.py "$@"
        fi
    done
done

found=""
for name in $names; do
    version=$("$name" --version 2>&1) && found="$found $name is $version;" || true
done
echo "Set-up needs Python 3.11 to 3.14 with venv, and with ensurepip or pip; on PATH:${found:- no Python at all}" >&2
echo "Install one (on Debian and Ubuntu: apt install python3-venv), or name one: make setup PYTHON=/path/to/python3" >&2
exit 3
