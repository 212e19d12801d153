#!/bin/sh
# secrets.sh [FOLDER]: write the secrets of docker-compose.yml, those that are missing; what is there stays.
# They are mounted at /run/secrets. Users of every container must be able to read them, so the files are readable and
# the folder is closed to everybody but its owner.
set -eu
umask 077
folder=${1:-${SALON_SECRETS:-$(dirname "$0")/secrets}}
mkdir -p "$folder"
chmod 700 "$folder"

secret() { # NAME VALUE
  # docker-compose of old makes an empty folder where a file was missing.
  [ ! -d "$folder/$1" ] || rmdir "$folder/$1"
  if [ ! -s "$folder/$1" ]; then
    printf '%s\n' "$2" >"$folder/$1.new"
    chmod 444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    echo "wrote $folder/$1" >&2
  fi
}

random() { # 64 hexadecimal digits
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

secret jwt_secret "$(random)"
secret postgres_password "$(random)"
secret service_token "$(random)"
for user in ws_edge rooms moderation operator; do
  secret "nats_$user" "$(random)"
done
# The same passwords as the server reads them.
passwords=$(
  for user in ws_edge rooms moderation operator; do
    echo "$(echo "$user" | tr '[:lower:]' '[:upper:]')_PASSWORD: \"$(cat "$folder/nats_$user")\""
  done
)
[ ! -f "$folder/nats_passwords.conf" ] || [ "$(cat "$folder/nats_passwords.conf")" = "$passwords" ] ||
  rm -f "$folder/nats_passwords.conf"
secret nats_passwords.conf "$passwords"
