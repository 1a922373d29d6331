#!/usr/bin/env bash
# `make test`: every check, one after the other. All of them run even when one fails; the last line
# says how it ended.
set -uo pipefail
cd "$(dirname "$0")/.."

# One profile for the binary and the tests, so that dependencies are built once.
profile=test-bin
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
# The one that is built below, not one that happens to be newer.
export DACAPO_BIN=$target/$profile/dacapo
failed=()
passed=0
started=$SECONDS

step() {
    local name=$1 began=$SECONDS
    shift
    printf '\n▸ %s\n' "$name"
    if "$@"; then
        passed=$((passed + 1))
        printf '✓ %s (%d s)\n' "$name" $((SECONDS - began))
    else
        failed+=("$name")
        printf '✗ %s (%d s)\n' "$name" $((SECONDS - began))
    fi
}

step "what the tests need" scripts/install-test-deps.sh
step "formatting" cargo fmt --all --check
step "clippy" cargo clippy --workspace --all-targets --quiet -- -D warnings
step "dependencies" scripts/deny.sh
step "building the binary and the tests" cargo test --workspace --profile "$profile" --no-run --quiet
step "all tests" cargo test --workspace --profile "$profile" --no-fail-fast

echo
if ((${#failed[@]})); then
    printf 'make test: FAILED after %d s:' $((SECONDS - started))
    printf ' [%s]' "${failed[@]}"
    echo
    exit 1
fi
printf 'make test: all %d steps passed in %d s\n' "$passed" $((SECONDS - started))
