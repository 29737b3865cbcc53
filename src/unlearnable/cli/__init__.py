"""The command line; `main` is its entry point."""

from unlearnable.cli.root import app, main

__all__ = ["app", "main"]
