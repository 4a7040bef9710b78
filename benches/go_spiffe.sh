#!/usr/bin/env bash
# What a verdict costs beside go-spiffe: both verify the same chains within their own process, one thread each, in turn.
#
#   benches/go_spiffe.sh     ROUNDS=7 is the default; medians of so many
#
# Needs Go, or Python to install it (tests/interop/run).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ROUNDS=${ROUNDS:-7}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

bench=$(cargo bench --locked --bench verify --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*verify[^"]*\)".*/\1/p' | tail -n 1)
mkdir "$folder/chains"
GOMAXPROCS=1 tests/interop/run --speed "$folder/chains" >/dev/null # makes the chains
for ((round = 0; round < ROUNDS; round++)); do
    GOMAXPROCS=1 tests/interop/run --speed "$folder/chains"
    "$bench" --bench "--chains=$folder/chains"
done >"$folder/times"

median() { awk -v who="$1" -v kind="$2" '$1 == who && $2 == kind { print $3 }' "$folder/times" | sort -n |
    awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

printf '%-14s %10s %10s %8s\n' '' 'comity' 'go-spiffe' 'ratio'
for kind in leaf intermediate useless; do
    ours=$(median comity "$kind") theirs=$(median go-spiffe "$kind")
    printf '%-14s %7s us %7s us %8s\n' "$kind" "$ours" "$theirs" "$(awk -v a="$theirs" -v b="$ours" 'BEGIN { printf "%.2f", a / b }')"
done
