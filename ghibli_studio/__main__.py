"""Start the command line: `python -m ghibli_studio`."""

import sys

from ghibli_studio.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
