"""Start the study's command line: `python -m study`."""

import sys

from study.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
