"""`python -m srmd` and the script `srmd`.

Nothing is imported here before Ctrl-C is quiet.
"""

import sys

INTERRUPTED = 130
UNKNOWN = 3
"""As srmd.cli has them, which is not imported yet: the end of a command, and of a check."""


def main() -> int:
    try:
        from srmd.cli import main as command

        return command()
    except KeyboardInterrupt:
        return UNKNOWN if "--check" in sys.argv else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
