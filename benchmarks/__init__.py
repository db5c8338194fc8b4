"""Measurements, each beside a bare baseline of the same run: `make bench`, `make bench ONLY=lateness`."""
