#!/usr/bin/env bash
# Runs the tests of the chassis and the services, and the life of a room through real processes, on the newest Python to be had here:
# an installed one, or, as root on Debian, one in a small Debian of its own under /var/tmp (100 s, once). Where there is
# none newer than that of .venv it says so and exits with 0; otherwise the exit code is pytest's.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s inherit_errexit

# Newest first, each with the Debian suites that may have it. Add a version when everything pinned has wheels for it.
VERSIONS=(3.14 3.13 3.12)
declare -A SUITES=([3.14]="testing unstable" [3.13]="stable testing")
CACHE=/var/tmp/salon-python
TESTS=(chassis services tests/e2e/test_life_of_a_room.py)
PYTEST=(-m pytest -m "not slow" -n 2)

say() { echo "newest_python: $*" >&2; }

is_newer() { .venv/bin/python -c "import sys; sys.exit(sys.version_info[:2] >= tuple(map(int, '$1'.split('.'))))"; }

has_installed() { "python$1" -c "import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; }

test_installed() {
  local venv=.venv-$1
  make setup "VENV=$venv" "PYTHON=python$1"
  PATH="$PWD/$venv/bin:$PATH" "$venv/bin/python" "${PYTEST[@]}" "${TESTS[@]}"
}

# --- a small Debian of its own ----------------------------------------------------------------------------------------

# 0 where a Debian with that Python is under $CACHE afterwards. Its name is known to all, so only root may own it.
make_debian() {
  local version=$1 suite mirror log=$CACHE/debootstrap.log
  [ -d "$CACHE/$version" ] && return 0
  [ "$(. /etc/os-release && echo "$ID")" = debian ] || return 1
  command -v debootstrap >/dev/null || apt-get -q -q install -y --no-install-recommends debootstrap >"$log" 2>&1 || return 1
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' \
    "Codename: $(. /etc/os-release && echo "$VERSION_CODENAME")" | head -1)
  for suite in ${SUITES[$version]:-}; do
    say "making a Debian ($suite) with Python $version under $CACHE"
    rm -rf --one-file-system "$CACHE/$version.unfinished"
    if debootstrap --variant=minbase --include="python$version,python$version-venv,make,ca-certificates" \
      "$suite" "$CACHE/$version.unfinished" "$mirror" >"$log" 2>&1; then
      mv "$CACHE/$version.unfinished" "$CACHE/$version"
      return 0
    fi
    say "Debian $suite gave no Python $version: $(tail -1 "$log")"
  done
  return 1
}

may_change_root() {
  [ "$(id -u)" = 0 ] && unshare --mount --pid --fork true 2>/dev/null || return 1
  mkdir -p -m 755 "$CACHE"
  [ ! -L "$CACHE" ] && [ -O "$CACHE" ] && chmod 755 "$CACHE"
}

# Names and certificates of this machine, and pip's settings: the registry that pip asks is known to the machine alone.
copy_settings() {
  local system=$1 file
  for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt ~/.config/pip/pip.conf ~/.pip/pip.conf; do
    if [ -f "$file" ]; then
      mkdir -p "$system$(dirname "$file")"
      cp -L "$file" "$system$file"
    fi
  done
}

in_debian() {
  local system=$1 name settings=("PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" "HOME=$HOME" LANG=C.UTF-8)
  shift
  for name in $(compgen -e | grep -iE '^(pip_.*|https?_proxy|no_proxy|ssl_cert_(file|dir))$'); do
    [ "$name" = PIP_FIND_LINKS ] || settings+=("$name=${!name}") # its folder is not in there
  done
  # The mounts and every process end with this one.
  unshare --mount --pid --fork --kill-child bash -c '
    set -e
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/dev/shm"
    mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
    shift
    exec "$@"' - "$system" env -i "${settings[@]}" chroot "$system" "$@"
}

test_in_debian() {
  local version=$1 system=$CACHE/$1 venv
  venv=/var/salon/venv-$(cat requirements/*.txt | sha256sum | cut -c1-12)
  copy_settings "$system"
  find "$system/var/salon" -mindepth 1 -maxdepth 1 ! -path "$system$venv" -exec rm -rf {} + 2>/dev/null || true
  mkdir -p "$system/var/salon/tree"
  git ls-files -z --cached --others --exclude-standard |
    tar --create --null --ignore-failed-read --files-from=- | tar --extract --no-same-owner --directory="$system/var/salon/tree"
  rm -f "$system$venv"/stamps/{protos,services} # they speak of the tree before
  in_debian "$system" make -C /var/salon/tree setup "VENV=$venv" "PYTHON=python$version" || return 1
  in_debian "$system" sh -c 'cd /var/salon/tree && PATH="$1/bin:$PATH" && shift && exec python "$@"' - \
    "$venv" "${PYTEST[@]}" "${TESTS[@]}"
}

for version in "${VERSIONS[@]}"; do
  is_newer "$version" || break
  if has_installed "$version"; then
    test_installed "$version"
    exit
  fi
  if may_change_root; then
    exec 9>"$CACHE/lock"
    flock -w 900 9 || { say "another run holds $CACHE/lock"; exit 1; }
    if make_debian "$version"; then
      test_in_debian "$version"
      exit
    fi
  fi
done
say "no Python newer than $(.venv/bin/python --version) can be had here: the tests run on that one alone"
