"""A drive process for a file drive: `python -I -m nullbay.lab.process`, as real as `kill -9`."""

from __future__ import annotations

import sys

from nullbay.lab.files import open_file_drive
from nullbay.wipers.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], open_file_drive))
