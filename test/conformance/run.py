#!/usr/bin/python3
"""Runs the test suites of stock clients against Ferric.

    run.py [--ferric PROGRAM] [--jobs N] [--match TEXT] [suite …]

Each suite gets a Ferric of its own, with noauth, fake-hardware, a free port and a new data directory:

    ironicclient  python3-ironicclient's functional tests, as its package ships them (they run the openstack command)
    openstacksdk  python3-openstacksdk's functional tests of bare metal, as its package ships them
    sdk           sdk.py here: what those leave out of openstacksdk's proxy (deploy with a config drive, history …)
    gophercloud   test/gophercloud: gophercloud's bare metal packages, at several microversions

The clients' code is not changed: they find Ferric through their own configuration files and environment. A test passes or
is listed in known.txt with the reason; a test listed there that passes fails the run, and so does an answer of 5xx and a
panic in Ferric's log.
"""
import argparse
import collections
import contextlib
import fnmatch
import io
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

Result = collections.namedtuple("Result", "test outcome seconds detail")  # outcome: pass, fail, skip


class Ferric:
    """A running `ferric serve` with nothing in it."""

    def __init__(self, program, home):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log_path = home / "ferric.log"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("FERRIC_", "OS_"))}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program, "serve", "--data-dir", str(home / "data"), "--listen", f"127.0.0.1:{port}", "--roles", "api,conductor",
                 "--set", "log.format=json", "--set", "drivers.enabled_hardware_types=fake-hardware,ipmi"],
                env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url + "/healthcheck", timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise SystemExit(f"ferric serve did not come up:\n{self.log_path.read_text()}")
                time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def defects(self):
        """The lines of the log that no client's behaviour excuses."""
        for line in self.log_path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"msg": line}
            status = entry.get("status")
            if isinstance(status, int) and status >= 500 and entry.get("msg") == "request":
                yield f"{status}: {entry.get('method')} {entry.get('path')}"
            elif "panic" in str(entry.get("msg")):
                yield line


# Python's suites

def python_tests(names):
    """The ids of all tests of the packages and modules."""
    def flat(suite):
        for t in suite:
            if isinstance(t, unittest.TestSuite):
                yield from flat(t)
            else:
                yield t.id()
    loader = unittest.TestLoader()
    ids = []
    for name in names:
        package = __import__(name, fromlist=["*"])
        found = loader.discover(os.path.dirname(package.__file__), top_level_dir=top_of(package)) \
            if hasattr(package, "__path__") else loader.loadTestsFromModule(package)
        ids += flat(found)
    if loader.errors:
        raise SystemExit("\n".join(loader.errors))
    return sorted(ids)


def top_of(package):
    path = pathlib.Path(package.__file__)
    for _ in range(package.__name__.count(".") + 2):
        path = path.parent
    return str(path)


class Collector(unittest.TestResult):
    """Takes the outcome of one test."""

    def __init__(self):
        super().__init__()
        self.outcome, self.detail = "pass", ""

    def _note(self, outcome, test, err, details):
        self.outcome = outcome
        if details:  # testtools
            self.detail = "\n".join(v.as_text() for k, v in sorted(details.items()) if v.content_type.type == "text")
        elif err:
            self.detail = self._exc_info_to_string(err, test)

    def addError(self, test, err=None, details=None):
        self._note("fail", test, err, details)

    def addFailure(self, test, err=None, details=None):
        self._note("fail", test, err, details)

    def addSkip(self, test, reason=None, details=None):
        self.outcome = "skip"
        self.detail = reason or "".join(v.as_text() for v in (details or {}).values())

    def addUnexpectedSuccess(self, test, details=None):
        self._note("fail", test, None, details)


def run_python_test(test_id):
    began = time.monotonic()
    collector, said = Collector(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):  # of interest only where something fails
        unittest.TestLoader().loadTestsFromName(test_id).run(collector)
    if collector.outcome == "fail":
        collector.detail += "\n" + said.getvalue()[-4000:]
    return Result(test_id, collector.outcome, time.monotonic() - began, collector.detail)


def worker_init(environment, directory):
    os.environ.update(environment)
    os.chdir(directory)
    sys.path.insert(0, str(HERE))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_python(names, environment, directory, jobs, wanted):
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, worker_init, (environment, directory)) as pool:
        tests = pool.apply(python_tests, (names,))
    tests = [t for t in tests if wanted(t)]
    with context.Pool(jobs, worker_init, (environment, directory)) as pool:
        yield from pool.imap_unordered(run_python_test, tests)


def clean_environment(home):
    """Nothing of the caller's OpenStack settings reaches a client."""
    for name in [n for n in os.environ if n.startswith("OS_")]:
        del os.environ[name]
    return {"HOME": str(home), "PYTHONWARNINGS": "ignore"}


def ironicclient(ferric, home, args, wanted):
    # The tests look for the client in .tox of the working directory, and for the endpoint in a file.
    tools = home / ".tox" / "functional" / "bin"
    tools.mkdir(parents=True)
    (tools / "openstack").symlink_to("/usr/bin/openstack")
    config = home / "ironicclient.conf"
    config.write_text(f"[functional]\nauth_strategy = noauth\nironic_url = {ferric.url}\n")
    environment = clean_environment(home) | {"IRONICCLIENT_TEST_CONFIG": str(config)}
    return run_python(["ironicclient.tests.functional"], environment, home, args.jobs, wanted)


def sdk_environment(ferric, home):
    cloud = {"auth_type": "none", "auth": {"endpoint": ferric.url}, "baremetal_endpoint_override": ferric.url,
             "has_compute": False, "has_image": False, "has_identity": False}
    file = home / "clouds.json"
    file.write_text(json.dumps({"clouds": {name: cloud for name in ("devstack-admin", "devstack", "devstack-alt", "ferric")}}))
    return clean_environment(home) | {"OS_CLIENT_CONFIG_FILE": str(file), "OS_TEST_TIMEOUT": "120", "CONFORMANCE_ENDPOINT": ferric.url}


def openstacksdk(ferric, home, args, wanted):
    # They use the same names, so one at a time.
    return run_python(["openstack.tests.functional.baremetal"], sdk_environment(ferric, home), home, 1, wanted)


def sdk(ferric, home, args, wanted):
    return run_python(["sdk"], sdk_environment(ferric, home), home, 1, wanted)


def gophercloud(ferric, home, args, wanted):
    environment = os.environ | {"CONFORMANCE_ENDPOINT": ferric.url}
    process = subprocess.Popen(["go", "test", "-json", "-count=1", "./test/gophercloud"], cwd=ROOT, env=environment,
                               stdout=subprocess.PIPE, text=True)
    output = collections.defaultdict(str)
    ran = False
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="")
            continue
        name = event.get("Test", "")
        if event["Action"] == "output":
            output[name] += event["Output"]
        elif name and event["Action"] in ("pass", "fail", "skip"):
            ran = True
            if wanted(name):
                yield Result(name, event["Action"], event.get("Elapsed", 0), output[name])
    if process.wait() != 0 and not ran:
        yield Result("(build)", "fail", 0, output[""])


SUITES = {"ironicclient": ironicclient, "openstacksdk": openstacksdk, "sdk": sdk, "gophercloud": gophercloud}


# The verdict

def read_known():
    """known.txt: "suite test: reason" per line; the test may hold * and ?."""
    known = []
    for number, line in enumerate((HERE / "known.txt").read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\w+) (\S+): (.+)", line)
        if not match or match[1] not in SUITES:
            raise SystemExit(f"known.txt:{number}: not of the form \"suite test: reason\"")
        known.append(match.groups())
    return known


def main():
    parser = argparse.ArgumentParser(description="Runs the test suites of stock clients against Ferric.")
    parser.add_argument("--ferric", default=str(ROOT / "bin" / "ferric"), help="the program (default: bin/ferric)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="tests of ironicclient that run at the same time")
    parser.add_argument("--match", default="", help="run only tests whose name holds this")
    parser.add_argument("suite", nargs="*", choices=[[], *SUITES], help="default: all")
    args = parser.parse_args()
    known = read_known()
    table, bad = [], []
    for suite in args.suite or SUITES:
        listed = [(pattern, reason) for name, pattern, reason in known if name == suite]
        home = pathlib.Path(tempfile.mkdtemp(prefix="ferric-conformance-"))
        count = collections.Counter()
        used = set()
        began = time.monotonic()
        ferric = Ferric(os.path.abspath(args.ferric), home)
        try:
            for r in SUITES[suite](ferric, home, args, lambda t: args.match in t):
                hits = [i for i, (pattern, _) in enumerate(listed) if fnmatch.fnmatchcase(r.test, pattern)]
                used.update(hits)
                verdict = r.outcome
                if r.outcome == "fail" and hits:
                    verdict = "known"
                elif r.outcome == "pass" and hits:
                    verdict = "fail"
                    r = r._replace(detail=f"It passes, but known.txt lists it: {listed[hits[0]][1]}")
                elif r.outcome == "skip" and not hits:
                    verdict = "fail"  # nothing is left out silently
                elif r.outcome == "skip":
                    verdict = "known"
                count[verdict] += 1
                print(f"{verdict:5} {r.seconds:6.1f}s  {suite} {r.test}", flush=True)
                if verdict == "fail":
                    bad.append((suite, r))
                    print("    " + r.detail.strip().replace("\n", "\n    "), flush=True)
        finally:
            ferric.stop()
        for defect in sorted(set(ferric.defects())):
            count["fail"] += 1
            bad.append((suite, Result("Ferric's log", "fail", 0, defect)))
        if not args.match:
            for i, (pattern, _) in enumerate(listed):
                if i not in used:
                    count["fail"] += 1
                    bad.append((suite, Result(pattern, "fail", 0, "known.txt lists it, but there is no such test")))
            if not count["pass"]:
                count["fail"] += 1
                bad.append((suite, Result("(all)", "fail", 0, "no test passed")))
        table.append((suite, count, time.monotonic() - began))
        shutil.rmtree(home, ignore_errors=True)

    if bad:
        print("\nFailed:")
        for suite, r in bad:
            last = r.detail.strip().splitlines()[-1:] or [""]
            print(f"  {suite} {r.test}: {last[0][:160]}")
    print(f"\n{'suite':14}{'passed':>8}{'known':>8}{'failed':>8}{'seconds':>9}")
    total = collections.Counter()
    for suite, count, seconds in table:
        total += count
        print(f"{suite:14}{count['pass']:8}{count['known']:8}{count['fail']:8}{seconds:9.0f}")
    print(f"{'all':14}{total['pass']:8}{total['known']:8}{total['fail']:8}{sum(t[2] for t in table):9.0f}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
