#!/usr/bin/env bash
# pack.sh OUTDIR: publishes gpucheck and gpubench as one folder for linux-x64 that needs an NVIDIA driver and nothing else, no .NET either.
# OUTDIR is made new; what is in it is replaced. Building happens in a folder of its own and leaves the tree as it is.
set -euo pipefail
if (($# != 1)); then
    echo "usage: pack.sh OUTDIR" >&2
    exit 2
fi

out=$(realpath -m "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ -e $out/.. && -e $out && ! -e $out/gpucheck && -n $(ls -A "$out") ]]; then
    echo "pack.sh: $1 is not empty and no earlier package: name another folder." >&2
    exit 2
fi

commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
if [[ $commit != unknown && -n $(git status --porcelain) ]]; then commit+=-dirty; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Trimmed and self-contained, not NativeAOT: ahead of time the CPU backend, which gpubench compares with, would be compiled for
# 128-bit vectors; the JIT takes the widest that the machine has. ReadyToRun brings back the code that trimming has dropped from the framework.
dotnet publish bench/gpu/EquiNorm.Gpu.Bench.csproj -c Release -r linux-x64 --self-contained --artifacts-path "$work/artifacts" -o "$work/out" \
    -p:PublishTrimmed=true -p:TrimMode=full -p:PublishReadyToRun=true \
    -p:DebugType=none -p:DebugSymbols=false -p:PublishDocumentationFiles=false -p:PublishReferencesDocumentationFiles=false \
    -p:UseSystemResourceKeys=true -p:EventSourceSupport=false \
    -p:SourceRevisionId="$commit" -nodeReuse:false -v:quiet -nologo

for command in gpucheck gpubench; do
    cat >"$work/out/$command" <<SCRIPT
#!/bin/sh
exec "\$(dirname "\$0")/EquiNorm.Gpu.Bench" $command "\$@"
SCRIPT
    chmod +x "$work/out/$command"
done
cp bench/gpu/README.md LICENSE "$work/out/"

mkdir -p "$(dirname "$out")"
rm -rf "$out"
cp -r "$work/out" "$out"
megabytes=$(du -sm --apparent-size "$out" | cut -f1)
echo "$1: $megabytes MB, commit $commit"
if ((megabytes > 40)); then
    echo "pack.sh: more than the 40 MB that the folder may have." >&2
    exit 1
fi
