#!/usr/bin/env bash
# Renders the report of the sample in a headless browser, in light and dark, on a desk and on a phone, and checks that nothing is wider than
# the window and that the themes differ. Pictures to look at go to the folder named first, if there is one.
#     tests/report/screenshot.sh [FOLDER [MODEL.onnx]]
# Needs a Release build of src/EquiNorm.Cli, and Chromium or Chrome; without them everything is skipped. The last line is
# "N passed, N failed, N skipped".
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tool=$root/src/EquiNorm.Cli/bin/Release/net10.0/EquiNorm.Cli.dll
model=$(realpath "${2:-$root/samples/small_resnet.onnx}")

browser=
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then browser=$name; break; fi
done
if [[ -z $browser || ! -f $tool ]]; then
    echo "Screenshots of the report: no browser, or the tool is not built."
    echo "0 passed, 0 failed, 4 skipped"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -n ${1:-} ]]; then mkdir -p "$1"; pictures=$(realpath "$1"); else pictures=$work; fi

# Root has no sandbox to give to a browser; the page loads nothing and runs nothing.
flags=(--headless=new --disable-gpu --hide-scrollbars --allow-file-access-from-files "--user-data-dir=$work/profile")
((EUID == 0)) && flags+=(--no-sandbox)

(cd "$work" && cp "$model" . && dotnet "$tool" rescale "$(basename "$model")" -o rescaled.onnx --report report.html >/dev/null) || { echo "0 passed, 4 failed, 0 skipped"; exit 1; }

# A window narrower than a browser's own least width is a frame; it also says how wide and high its content is.
frame() {
    printf '<!DOCTYPE html><body style="margin:0"><iframe id="f" src="report.html" style="border:0;width:%spx;height:%spx"></iframe>' "$1" "$2"
    printf '<p id="size"></p><script>f.onload = () => { const d = f.contentDocument.documentElement; size.textContent = "size " + d.scrollWidth + " " + d.scrollHeight; }</script>'
}

passed=0 failed=0
for width in 1200 390; do
    frame "$width" 2000 >"$work/frame.html"
    size=$(timeout 60 "$browser" "${flags[@]}" --window-size="$((width < 500 ? 500 : width)),2000" --virtual-time-budget=3000 --dump-dom "file://$work/frame.html" 2>/dev/null | sed -n 's/.*>size \([0-9]*\) \([0-9]*\)<.*/\1 \2/p')
    read -r across down <<<"${size:-99999 2000}"
    frame "$width" "$down" >"$work/frame.html"
    for theme in light dark; do
        scheme=$([[ $theme == dark ]] && echo 0 || echo 1)
        picture=$pictures/report-$width-$theme.png
        rm -f "$picture"
        timeout 60 "$browser" "${flags[@]}" "--blink-settings=preferredColorScheme=$scheme" --window-size="$((width < 500 ? 500 : width)),$down" --screenshot="$picture" "file://$work/frame.html" >/dev/null 2>&1
        if ((across > width)); then
            echo "At $width pixels the page is $across wide." >&2
            failed=$((failed + 1))
        elif [[ ! -s $picture ]] || ((down < 1000)); then
            echo "No picture at $width pixels, $theme." >&2
            failed=$((failed + 1))
        elif [[ $theme == dark ]] && cmp -s "$picture" "$pictures/report-$width-light.png"; then
            echo "At $width pixels dark looks like light." >&2
            failed=$((failed + 1))
        else
            passed=$((passed + 1))
        fi
    done
done
echo "$passed passed, $failed failed, 0 skipped"
((failed == 0))
