#!/usr/bin/env bash
# A throw-away MariaDB in FOLDER, which listens on a socket there and nowhere else: prints the address of its database `shop` and runs
# until standard input ends. With a PORT it listens on that port of 127.0.0.1 as well, with a certificate for `localhost`, and prints that
# address. Exits with 77 where MariaDB is not installed.
set -euo pipefail
folder=$1
port=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
export PATH="$PATH:/usr/sbin:/usr/local/sbin"
command -v mariadbd > /dev/null && command -v mariadb-install-db > /dev/null || exit 77
user=$(id -un)
mariadb-install-db --no-defaults --user="$user" --datadir="$folder/data" --auth-root-authentication-method=normal \
    --skip-test-db > /dev/null 2>&1
echo "CREATE DATABASE shop;" > "$folder/begin.sql"
network=(--skip-networking)
address="mysql://root@localhost/shop?socket=$folder/socket"
if [[ -n $port ]]; then
    source "$here/certificates.sh"
    certificates "$folder"
    network=(--port="$port" --bind-address=127.0.0.1 --ssl-ca="$folder/authority.pem" --ssl-cert="$folder/server.pem"
        --ssl-key="$folder/server.key")
    address="mysql://root@localhost:$port/shop"
fi
mariadbd --no-defaults --user="$user" --datadir="$folder/data" --socket="$folder/socket" --pid-file="$folder/pid" \
    "${network[@]}" --innodb-flush-log-at-trx-commit=0 --init-file="$folder/begin.sql" > "$folder/log" 2>&1 < /dev/null &
server=$!
stop() {
    kill -9 "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
}
trap stop EXIT
for _ in $(seq 600); do
    if [[ -S $folder/socket ]] && grep -q "ready for connections" "$folder/log"; then
        echo "$address"
        cat > /dev/null
        exit 0
    fi
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
done
cat "$folder/log" >&2
exit 1
