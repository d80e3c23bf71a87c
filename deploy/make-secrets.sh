#!/bin/sh
# Makes the secrets that compose.yml needs, once; what is there already stays. Usage: deploy/make-secrets.sh
set -eu
cd "$(dirname "$0")"
# The folder keeps others out; the files are readable to all because the containers' users have other numbers than you.
mkdir -p -m 0700 secrets
chmod 0700 secrets
umask 022
if [ ! -s secrets/postgres_password ]; then
    # Hexadecimal, so that it needs no escaping in an address.
    printf '%s' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" > secrets/postgres_password
fi
if [ ! -s secrets/database_url ]; then
    printf 'postgresql://sportello:%s@postgres/sportello' "$(cat secrets/postgres_password)" > secrets/database_url
fi
if [ ! -e sportello.toml ]; then
    cp sportello.example.toml sportello.toml
    chmod 0644 sportello.toml
    echo "deploy/sportello.toml is a copy of the example: put your channels there."
fi
echo "deploy/secrets is ready."
