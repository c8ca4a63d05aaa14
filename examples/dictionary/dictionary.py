"""A light switch for every room, shared by whoever runs this program or its twin in Rust.

`python3 dictionary.py HOST:PORT[,HOST:PORT...] [ROOM]` shows all lamps, or switches one.
"""

import sys

from rafty import DistributedDict, RaftyError


def main(words: "list[str]") -> int:
    if len(words) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    lamps = DistributedDict(words[0].split(","))
    try:
        if len(words) == 2:
            room = words[1]
            lamps[room] = not lamps.get(room, False)
            print(f"{room}: {'on' if lamps[room] else 'off'}")
        else:
            for room, on in lamps.items():
                print(f"{room}: {'on' if on else 'off'}")
    except RaftyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
