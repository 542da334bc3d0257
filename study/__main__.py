"""Start the study's command line: `python -m study`."""

from study.cli.app import run

if __name__ == "__main__":
    run()
