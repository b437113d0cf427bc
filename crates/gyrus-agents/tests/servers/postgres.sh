#!/usr/bin/env bash
# A throw-away PostgreSQL in FOLDER, which listens on a socket there and nowhere else: prints its address and runs until standard
# input ends. Exits with 77 where PostgreSQL is not installed.
set -euo pipefail
folder=$1
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
stop() { "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null; }
trap stop EXIT
"${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/log" -o "-k $folder -c listen_addresses= -c fsync=off" start > /dev/null
echo "postgres:///postgres?host=$folder&user=gyrus"
cat > /dev/null
