"""A platform that does not exist, in the files adding one takes; the test puts them in place."""
