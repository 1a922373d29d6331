#!/usr/bin/env bash
# `make test`: every check, one after the other. All of them run even when one fails; the last line
# says how it ended.
set -uo pipefail
cd "$(dirname "$0")/.."

# One profile for the binary and the tests, so that dependencies are built once.
profile=test-bin
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
step "the binary" cargo build --profile "$profile" -p dacapo --quiet
step "all tests" cargo test --workspace --profile "$profile" --no-fail-fast

echo
if ((${#failed[@]})); then
    printf 'make test: FAILED after %d s:' $((SECONDS - started))
    printf ' [%s]' "${failed[@]}"
    echo
    exit 1
fi
printf 'make test: all %d steps passed in %d s\n' "$passed" $((SECONDS - started))
