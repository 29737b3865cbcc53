"""The command line as its user meets it, in this process: starting anew takes seconds."""

import contextlib
import io
import signal
import subprocess
import sys

from unlearnable import cli


def command(*words):
    """Run `unlearnable` with these words; exit code and both streams, as `subprocess.run` gives them."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    given, handler = sys.argv, signal.getsignal(signal.SIGTERM)
    try:
        sys.argv = ["unlearnable", *map(str, words)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv = given
        signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
