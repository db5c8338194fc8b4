"""One file per platform; putting one here is all it takes.

It has a `LABEL`, a Flask `blueprint` named like the file and `ENVIRONMENT`: the adapter's settings that lead
to it; if it can, also `notices(sandbox)`: webhook calls due, and `finish_draft(sandbox, upload, ...)`.
"""
