"""One file per platform: a `LABEL` and a `blueprint`. Putting a file here is all it takes."""
