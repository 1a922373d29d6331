#!/bin/sh
# Licences, banned crates and sources, where cargo-deny is installed. The advisory database is not
# asked here: it has to be fetched, and a check must not fail because a network is not there.
set -eu
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "cargo-deny is not installed: licences, bans and sources are NOT checked (cargo install cargo-deny)"
    exit 0
fi
cargo deny --offline --log-level error check bans licenses sources
