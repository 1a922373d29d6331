#!/bin/sh
# Installs the foreign SDKs beside this file: node_modules/ and .venv/, both ignored by git.
# Quick when nothing changed: each half leaves a stamp holding the checksum of what it installed from.
set -eu
cd "$(dirname "$0")"

node_stamp=node_modules/.dacapo-stamp
want=$(cat package.json package-lock.json 2>/dev/null | cksum)
if [ ! -f "$node_stamp" ] || [ "$(cat "$node_stamp")" != "$want" ]; then
    if [ -f package-lock.json ]; then
        npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
    else
        npm install --no-audit --no-fund --ignore-scripts --loglevel=error
    fi
    cat package.json package-lock.json 2>/dev/null | cksum >"$node_stamp"
fi

venv_stamp=.venv/.dacapo-stamp
want=$(cksum <requirements.txt)
if [ ! -f "$venv_stamp" ] || [ "$(cat "$venv_stamp")" != "$want" ]; then
    python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
    printf '%s\n' "$want" >"$venv_stamp"
fi
