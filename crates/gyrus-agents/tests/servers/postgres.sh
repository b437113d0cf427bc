#!/usr/bin/env bash
# A throw-away PostgreSQL in FOLDER, which listens on a socket there and nowhere else: prints its address and runs until standard
# input ends. With a PORT it listens on that port of 127.0.0.1 instead, with a certificate for `localhost`. Exits with 77 where
# PostgreSQL is not installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
port=${2:-}
bin=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -1 || true)
if [[ -z $bin ]]; then
    bin=$(dirname "$(command -v initdb || echo /absent/initdb)")
fi
[[ -x $bin/initdb && -x $bin/pg_ctl ]] || exit 77
as=()
# The server refuses to run as root.
if [[ $(id -u) == 0 ]]; then
    id postgres > /dev/null 2>&1 || exit 77
    chown postgres "$folder"
    as=(runuser -u postgres --)
fi
cd "$folder"
"${as[@]}" "$bin/initdb" -D "$folder/data" -U gyrus --auth=trust --no-sync --encoding=UTF8 --locale=C > /dev/null
listen=""
address="postgres:///postgres?host=$folder&user=gyrus"
if [[ -n $port ]]; then
    source "$here/certificates.sh"
    certificates "$folder"
    [[ $(id -u) != 0 ]] || chown postgres "$folder/server.key" "$folder/server.pem"
    chmod 755 "$folder"
    listen="127.0.0.1 -c port=$port -c ssl=on -c ssl_cert_file=$folder/server.pem -c ssl_key_file=$folder/server.key"
    address="postgres://gyrus@localhost:$port/postgres"
fi
stop() { "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null; }
trap stop EXIT
"${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/log" -o "-k $folder -c fsync=off -c listen_addresses=$listen" start > /dev/null
echo "$address"
cat > /dev/null
