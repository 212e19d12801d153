#!/bin/sh
# runtime.sh IMAGE: lay out below IMAGE what a service's container holds: the interpreter, /opt/salon, the system
# libraries that these load, certificates, time zones and the user. No shell, no package manager, no pip: less to carry
# and to keep up to date, and nothing for a stranger to use. Runs in the build stage of each Dockerfile.
set -eu
image=$1
lib=$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
mkdir -p "$image/tmp" "$image/etc" "$image/data" "$image/usr/share" "$image/usr/local/bin"
chmod 1777 "$image/tmp"
chown 10001 "$image/data"

cp -P "$(dirname "$(python -c 'import sys; print(sys._base_executable)')")"/python3* "$image/usr/local/bin/"
cp -P /usr/local/bin/python "$image/usr/local/bin/"
tar -C / -c --exclude='*/site-packages' --exclude='*/ensurepip' --exclude='*/idlelib' --exclude='*/lib2to3' \
  --exclude='*/distutils' --exclude='*/pydoc_data' --exclude='*/tkinter' --exclude='*/turtle*' --exclude='*/test' \
  --exclude='*/tests' --exclude='*/_test*.so' --exclude='*/config-*' --exclude=__pycache__ "${lib#/}" | tar -C "$image" -x
tar -C / -c --exclude='*/site-packages/pip' --exclude='*/site-packages/pip-*' --exclude='*/site-packages/setuptools' \
  --exclude='*/site-packages/setuptools-*' --exclude='*/site-packages/pkg_resources' --exclude='*/_distutils_hack' \
  --exclude='*/distutils-precedence.pth' --exclude='*/bin/pip*' --exclude='*/bin/activate*' --exclude='*/bin/Activate*' \
  --exclude='*.pyx' --exclude='*.pxd' --exclude='*.pxi' --exclude='*/tests' --exclude=__pycache__ opt/salon | tar -C "$image" -x
# Nothing is written there later, and a health check must not compile what it imports each time.
python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$image" -p / "$image$lib" "$image/opt/salon/lib"

# ldd tells the interpreter's libraries and those of every extension; what is looked up by name only is added by hand.
libraries=$(
  {
    echo "$image/usr/local/bin/python3"
    find "$image$lib" "$image/opt/salon" -name '*.so*' -type f
  } | xargs ldd 2>/dev/null | sed -n 's/.*[ \t]\(\/[^ ]*\) (0x.*/\1/p' | grep -v "^$image" | sort -u
)
for library in $libraries /lib/*-linux-gnu/libnss_dns.so.2 /lib/*-linux-gnu/libnss_files.so.2; do
  mkdir -p "$image$(dirname "$library")"
  cp -L "$library" "$image$library"
done

mkdir -p "$image/etc/ssl/certs"
cp -L /etc/ssl/certs/ca-certificates.crt "$image/etc/ssl/certs/"
[ ! -d /usr/share/zoneinfo ] ||
  tar -C / -c --exclude='*/right' --exclude='*/posix' usr/share/zoneinfo | tar -C "$image" -x
cp /etc/ld.so.cache /etc/os-release "$image/etc/"
echo 'hosts: files dns' >"$image/etc/nsswitch.conf"
echo 'salon:x:10001:10001::/nonexistent:/sbin/nologin' >"$image/etc/passwd"
echo 'salon:x:10001:' >"$image/etc/group"
