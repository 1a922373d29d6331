#!/bin/sh
# Everything the tests need beyond Rust: a C compiler (SQLite and the crypto library are built from
# source), Node, Python, PostgreSQL with PgBouncer and HAProxy, and the foreign SDKs. Quick when nothing is missing.
set -eu
cd "$(dirname "$0")/.."

have() { command -v "$1" >/dev/null 2>&1; }

missing=""
have cc || missing="$missing build-essential"
have curl || missing="$missing curl"
have node || missing="$missing nodejs"
have npm || missing="$missing npm"
have python3 || missing="$missing python3"
# On Debian the module is there without what it needs to make an environment.
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"

# Distributions keep the server's tools out of the PATH.
{ ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || have initdb || [ -n "${DACAPO_POSTGRES_BIN:-}" ]; } ||
    missing="$missing postgresql"

# Poolers and balancers that stand before a database. On Debian they lie in /usr/sbin.
for server in pgbouncer haproxy; do
    { have "$server" || [ -x "/usr/sbin/$server" ]; } || missing="$missing $server"
done

if [ -n "$missing" ]; then
    if ! have apt-get || [ "$(id -u)" -ne 0 ]; then
        echo "missing on this machine:$missing" >&2
        echo "Install them with your package manager (macOS: brew install node python postgresql pgbouncer haproxy; xcode-select --install)." >&2
        exit 1
    fi
    echo "installing:$missing"
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null
fi

have cargo || { echo "Rust is missing: https://rustup.rs" >&2; exit 1; }
for tool in rustfmt clippy; do
    if ! cargo "$(echo "$tool" | sed s/rustfmt/fmt/)" --version >/dev/null 2>&1; then
        echo "installing $tool"
        rustup component add "$tool"
    fi
done

if [ -x tests/sdk/setup.sh ]; then
    tests/sdk/setup.sh
fi
