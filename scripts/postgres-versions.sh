#!/bin/sh
# The store's contract and what only its PostgreSQL engine can do wrong, on a PostgreSQL that is not the
# distribution's: `scripts/postgres-versions.sh 18.6.0`. The server's binaries come from Maven Central (needs `mvn`,
# `unzip`, `xz`); they are kept under the target directory.
set -eu
cd "$(dirname "$0")/.."

version=${1:?which version of io.zonky.test.postgres:embedded-postgres-binaries, e.g. 18.6.0}
case "$(uname -m)" in
    x86_64) platform=linux-amd64 ;;
    aarch64) platform=linux-arm64v8 ;;
    *) echo "no binaries for $(uname -m) here" >&2; exit 1 ;;
esac
for tool in mvn unzip xz; do
    command -v "$tool" >/dev/null 2>&1 || { echo "$tool is missing" >&2; exit 1; }
done

target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
home=$target/postgres-$version
if [ ! -x "$home/bin/postgres" ]; then
    artifact=embedded-postgres-binaries-$platform
    mkdir -p "$home"
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
        "-Dartifact=io.zonky.test.postgres:$artifact:$version" "-DoutputDirectory=$home"
    unzip -q -o "$home/$artifact-$version.jar" -d "$home"
    tar -xJf "$home"/postgres-*.txz -C "$home"
    # The server refuses to run as root: whoever it runs as must be able to read it.
    chmod -R go+rX "$home"
fi

"$home/bin/postgres" --version
DACAPO_POSTGRES_BIN=$home/bin exec cargo test --workspace --profile test-bin --lib -- \
    postgres::tests::conformance postgres::tests::durability postgres::tests::fence postgres::tests::plans postgres::tests::start
