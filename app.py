"""Starts the page: `python app.py`, then open the address that it prints. The same as `ghibli-studio serve`."""

import sys

from ghibli_studio.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
