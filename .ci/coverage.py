"""Says how many lines of a crate its tests ran: usage: coverage.py LCOV CRATE LEAST.

Lines of `#[cfg(test)]` modules do not count: they stand at the end of their file, or in a file of their own that is
named tests or declared so.
"""

import re
import sys
from pathlib import Path


def first_test_line(path):
    """Where the tests begin in a file."""
    lines = Path(path).read_text().splitlines()
    for number, (line, following) in enumerate(zip(lines, lines[1:] + [""]), 1):
        if line.strip() == "#[cfg(test)]" and re.match(r"\s*mod \w+ \{", following):
            return number
    return len(lines) + 1


def is_test_file(path):
    """Whether a `#[cfg(test)] mod name;` declares the file."""
    path = Path(path)
    name, folder = path.stem, path.parent
    for parent in (folder / "mod.rs", folder / "lib.rs", folder.parent / f"{folder.name}.rs"):
        if parent.exists() and re.search(rf"#\[cfg\(test\)\]\s*mod {name};", parent.read_text()):
            return True
    return False


def main(lcov, crate, least):
    files, path = {}, None
    for line in Path(lcov).read_text().splitlines():
        if line.startswith("SF:"):
            path = line[3:]
            files[path] = {}
        elif line.startswith("DA:"):
            number, count = map(int, line[3:].split(",")[:2])
            files[path][number] = max(count, files[path].get(number, 0))
    total = ran = 0
    for path, lines in sorted(files.items()):
        if is_test_file(path):
            continue
        end = first_test_line(path)
        counts = {number: count for number, count in lines.items() if number < end}
        missed = [number for number, count in sorted(counts.items()) if count == 0]
        total += len(counts)
        ran += len(counts) - len(missed)
        if missed:
            print(f"  {Path(path).name}: {len(missed)} of {len(counts)} lines: {missed}")
    percent = 100 * ran / max(total, 1)
    print(f"{crate}: {percent:.1f} % of {total} lines")
    return 0 if percent >= float(least) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
