#!/bin/sh
# Makes a virtual environment with the first Python >= 3.11 it finds; PYTHON=… chooses one. Says what is missing.
set -eu
folder=$1
good='import sys; sys.exit(sys.version_info < (3, 11))'
found=
for python in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
  if command -v "$python" >/dev/null 2>&1 && "$python" -c "$good" >/dev/null 2>&1; then
    found=$python
    break
  fi
done
if [ -z "$found" ]; then
  echo "Salon needs Python 3.11 or newer; ${PYTHON:-python3} is $( (${PYTHON:-python3} --version) 2>&1 || true)." >&2
  echo "Install one, or name it: make PYTHON=/path/to/python3.12 …" >&2
  exit 2
fi
if ! "$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then
  echo "$found cannot make virtual environments: its modules venv and ensurepip are missing." >&2
  echo "On Debian and Ubuntu: apt-get install python3-venv" >&2
  exit 2
fi
echo "Making the virtual environment $folder with $("$found" --version)"
if ! "$found" -m venv --clear "$folder"; then
  rm -rf "$folder"
  echo "The virtual environment $folder could not be made." >&2
  exit 2
fi
