"""Makes watch.csv.gz from the data set in the Python package seglearn: run once, its result is kept here.

    pip download seglearn==1.2.5 --no-deps && unzip seglearn-1.2.5-py3-none-any.whl -d seglearn && python3 convert.py seglearn

One row for each step of time, 50 a second, in the order of the series: subject, side (left, right), exercise, and the
six channels in thousandths (acceleration in g, turning in radians a second), as integers: the watch measures no finer.
"""

import gzip
import io
import sys
from pathlib import Path

import numpy as np

EXERCISES = ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]

source = Path(sys.argv[1]) / "seglearn/data/watch_dataset.npy"
data = np.load(source, allow_pickle=True).item()
assert data["y_labels"] == EXERCISES and data["X_labels"] == ["ax", "ay", "az", "wx", "wy", "wz"]

table = io.StringIO()
table.write("subject,side,exercise,ax,ay,az,wx,wy,wz\n")
series = zip(data["X"], data["y"], data["subject"], data["side"], strict=True)
for steps, exercise, subject, side in series:
    named = f"{int(subject)},{'right' if side else 'left'},{EXERCISES[int(exercise)]}"
    for step in np.rint(np.asarray(steps) * 1000).astype(int):
        table.write(named + "," + ",".join(map(str, step)) + "\n")

# No time and no name in the head, so that the same data gives the same file.
with open(Path(__file__).parent / "watch.csv.gz", "wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as packed:
    packed.write(table.getvalue().encode())
