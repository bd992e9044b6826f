"""`yololab detect`: pictures, folders, videos and cameras from the command line, by the library's own stages."""
