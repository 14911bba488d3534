"""What the scripts that rescale networks and run them before and after have in common."""
import argparse
import collections
import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np

SEED = 1902
LIMIT = 2e-5  # of the largest output: what float32 may move outputs by


def tool(command, *arguments):
    """Exit code and JSON of one run of the tool."""
    run = subprocess.run([*shlex.split(command), *arguments, "--json"], capture_output=True, text=True)
    try:
        return run.returncode, json.loads(run.stdout)
    except json.JSONDecodeError:
        sys.exit(f"{arguments}: exit code {run.returncode}\n{run.stderr}")


def deviation(before, after):
    return float(np.abs(before - after).max() / np.abs(before).max())


def run_opencv(path, image):
    """The outputs by OpenCV in float32, or None where there is no OpenCV, or one that cannot read the model."""
    try:
        import cv2
    except ImportError:
        return None
    try:
        network = cv2.dnn.readNetFromONNX(path)
        network.setInput(np.asarray(image))
        return network.forward().copy()
    except cv2.error:
        return None


def blockers(report):
    """Channels pinned by each operator, the ends of the network not counted."""
    counts = collections.Counter()
    for group in report["pinned"]:
        reason = group["reason"]
        if not reason.startswith(("network ", "constant ")):
            counts[re.split(r"[ :]", reason)[0]] += group["channels"]
    return counts


def named(pinned):
    return ", ".join(f"{op} {count}" for op, count in pinned.most_common()) or "-"


class Rescaling:
    """A model's file, its rescaled copy, and what `rescale` and `verify` say of them."""

    def __init__(self, name, options):
        self.source, self.target = (os.path.join(options.out, f"{name}{end}.onnx") for end in ("", ".rescaled"))
        self.options = options

    def run(self):
        self.code, self.report = tool(self.options.tool, "rescale", self.source, "-o", self.target)
        self.verified, self.verification = tool(self.options.tool, "verify", self.source, self.target)
        return self.report

    def figures(self):
        report, verification = self.report, self.verification
        return {
            "F before": f"{report['objectiveBefore']:.4g}",
            "F after": f"{report['objectiveAfter']:.4g}",
            "sweeps": f"{report['sweeps']:.1f}",
            "gap": f"{report['gapBound']:.1e}" if report["gapBound"] is not None else "none",
            "verify": f"{verification['maxDeviation']:.1e}" if verification["same"] else "NOT THE SAME",
        }

    def conclude(self, row, expected, before, after, others=True):
        """Prints the row; good if the outputs before and after agree, and those before with torch's."""
        good = self.code == 0 and self.verified == 0 and deviation(before, after) <= LIMIT and deviation(expected, before) < 1e-3 and others
        print(("ok  " if good else "BAD ") + json.dumps(row), flush=True)
        if not good:
            print(f"    exit codes {self.code} {self.verified}, {self.report['message']}, {self.verification['reason']}, "
                  f"engine against torch {deviation(expected, before):.1e}")
        if not self.options.keep:
            os.remove(self.source)
            os.remove(self.target)
        return row, good


def parser(description, names):
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--tool", default="equinorm")
    result.add_argument("--out", default="/tmp")
    result.add_argument("--keep", action="store_true", help="keep the ONNX files")
    result.add_argument("--markdown", help="write the table to this file")
    result.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    return result


def finish(results, options):
    """Writes the table and ends the process: 0 if all were good."""
    if options.markdown:
        titles = list(results[0][0])
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles) + "\n")
            for row, _ in results:
                file.write("| " + " | ".join(row.values()) + " |\n")
    sys.exit(0 if all(good for _, good in results) else 1)
