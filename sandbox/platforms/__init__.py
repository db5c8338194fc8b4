"""One file per platform; putting one here is all it takes.

It has a `LABEL`, a Flask `blueprint` named like the file, `ENVIRONMENT`: the adapter's settings that lead to it,
and `SCOPES`: what a token of the control API may do unless it says. If it can, also `notices(sandbox)`: webhook
calls due, and `finish_draft(sandbox, upload, ...)`.
"""
