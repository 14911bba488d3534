#!/usr/bin/env bash
# Publishes the native library for linux-x64, and runs C programs on it: header, exports, the sample, memory.
# The last line is "N passed, N failed, N skipped"; the exit status is 0 if none failed. What a machine lacks is skipped, with the reason.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

native=src/EquiNorm.Native
library=$native/bin/Release/net10.0/linux-x64/publish
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); echo "passed: $1"; }
fail() { failed=$((failed + 1)); echo "failed: $1" >&2; }
skip() { skipped=$((skipped + 1)); echo "skipped: $1: $2"; }
check() { if "${@:2}"; then pass "$1"; else fail "$1"; fi; }
has() { command -v "$1" >/dev/null; }
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    exit $((failed > 0))
}

compile() { gcc -std=c99 -Wall -Wextra -Wpedantic -Werror -O2 "$1" -o "$2" -I"$library" -L"$library" -lequinorm -lm -Wl,-rpath,"$PWD/$library"; }
runs_sample() { compile samples/c/train.c "$work/train" && "$work/train" >"$work/printed" && diff samples/c/train.expected "$work/printed"; }
runs_memory() { compile tests/native/memory.c "$work/memory" && "$work/memory"; }
exports_all() {
    nm -D --defined-only "$library/libequinorm.so" | sed -n 's/.* T \(en_[a-z_]*\).*/\1/p' | sort >"$work/exported"
    sed -n 's/^EN_API .*\b\(en_[a-z_]*\)(.*/\1/p' "$native/equinorm.h" | sort | diff - "$work/exported"
}

if has gcc; then
    check "the header is C99" gcc -std=c99 -fsyntax-only -Wall -Wextra -Wpedantic -Werror -x c "$native/equinorm.h"
else
    skip "the header is C99" "no gcc"
fi
if has g++; then
    check "the header is C++17" g++ -std=c++17 -fsyntax-only -Wall -Wextra -Wpedantic -Werror -x c++ "$native/equinorm.h"
else
    skip "the header is C++17" "no g++"
fi

if [[ $(uname -sm) != "Linux x86_64" ]]; then
    skip "the library" "this is not Linux on x64"
    finish
fi
if ! has gcc && ! has clang; then
    skip "the library" "no linker: neither gcc nor clang"
    finish
fi
if ! dotnet publish "$native" -c Release -r linux-x64 -nologo -v:q -tl:off -nodeReuse:false >"$work/publish" 2>&1; then
    # NU1100 to NU1103 and NU1301: the package sources do not have the native compiler, or could not be asked.
    if grep -qE 'NU1(100|101|102|103|301)' "$work/publish"; then
        skip "the library" "the package sources have no native compiler: $(grep -oE 'NU1[0-9]{3}: .*' "$work/publish" | head -1)"
    else
        cat "$work/publish" >&2
        fail "the library"
    fi
    finish
fi
pass "the library"

if has nm; then check "it exports what the header declares" exports_all; else skip "it exports what the header declares" "no nm"; fi
if has gcc; then
    check "the sample prints what it should" runs_sample
    check "memory does not grow" runs_memory
else
    skip "the sample prints what it should" "no gcc"
    skip "memory does not grow" "no gcc"
fi
finish
