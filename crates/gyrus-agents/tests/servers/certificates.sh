# Sourced by the other scripts: `certificates FOLDER` makes an authority (authority.pem) and a certificate of it for `localhost`
# (server.pem, server.key) in FOLDER. Exits with 77 where openssl is not installed.
certificates() {
    command -v openssl > /dev/null || exit 77
    (
        cd "$1"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=Gyrus test authority" \
            -keyout authority.key -out authority.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
        printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' > server.ext
        openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile server.ext \
            -out server.pem
        chmod 600 server.key
    ) > /dev/null 2>&1
}
