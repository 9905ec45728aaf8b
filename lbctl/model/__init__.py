"""The values that the pipeline passes on: pure data, no I/O, no clock, no randomness."""
