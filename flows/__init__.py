"""The runbooks, one flow per file."""
