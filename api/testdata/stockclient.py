"""Runs the stock openstack client for many command lines in one process.

Reads one JSON list of arguments per line and writes one JSON object per line: the exit code, standard output and
standard error. Importing the client takes seconds, a command takes milliseconds.
"""
import contextlib
import io
import json
import sys

from openstackclient import shell

for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app = shell.OpenStackShell()
            app.stdout = out
            app.stderr = err
            code = app.run(json.loads(line))
        except SystemExit as e:
            code = e.code
        except Exception as e:  # the client lets none out; if it does, the test shows it
            code = repr(e)
    print(json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), flush=True)
