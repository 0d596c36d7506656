"""`python -m srmd` is `srmd`."""

import sys

from srmd.cli import main

if __name__ == "__main__":
    sys.exit(main())
