"""Projects and runs on disk: paths, and atomic reading and writing of files."""
