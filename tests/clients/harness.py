"""What every check uses: counting, programs under test, ports, deadlines."""

import fnmatch
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import traceback

HOST = "127.0.0.1"
DEADLINE = 30.0  # seconds, for anything that does not say otherwise


class Failure(Exception):
    """A check did not hold; the text says why."""


def expect(holds, why):
    if not holds:
        raise Failure(why)


def expect_equal(found, wanted, what):
    expect(found == wanted, f"{what}: {shorten(found)} instead of {shorten(wanted)}")


def shorten(value, limit=300):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


class Suite:
    """Runs checks one after another and counts them."""

    def __init__(self, pattern="*", verbose=False):
        self.pattern = pattern
        self.verbose = verbose
        self.passed = 0
        self.failed = []
        self.ran = set()

    def check(self, name, function, *arguments, deadline=120.0):
        """Runs a check; it fails if it raises, or if it takes longer than `deadline` seconds."""
        if not fnmatch.fnmatch(name, self.pattern):
            return
        if name in self.ran:
            raise ValueError(f"two checks are called {name!r}")
        self.ran.add(name)
        outcome = []

        def run():
            try:
                outcome.append((True, function(*arguments)))
            except Failure as failure:
                outcome.append((False, str(failure)))
            except Exception as error:  # a check that breaks is a check that failed
                where = traceback.extract_tb(error.__traceback__)[-1]
                outcome.append((False, f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"))

        begin = time.monotonic()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(deadline)
        took = time.monotonic() - begin
        held, detail = outcome[0] if outcome else (False, f"no result after {deadline:.0f} s")
        if held:
            self.passed += 1
            note = f": {detail}" if isinstance(detail, str) else ""
            print(f"ok {name}{note} ({took:.2f} s)", flush=True)
        else:
            self.failed.append(name)
            print(f"FAILED {name}: {detail} ({took:.2f} s)", flush=True)

    def totals(self):
        for name in self.failed:
            print(f"failed: {name}")
        print(f"{self.passed} passed, {len(self.failed)} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def listening(port):
    """Whether a socket of this machine listens on the port, without connecting to it."""
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as lines:
                for line in lines.readlines()[1:]:
                    fields = line.split()
                    if fields[3] == "0A" and fields[1].endswith(wanted):
                        return True
        except FileNotFoundError:
            continue
    return False


def wait_until(holds, what, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while not holds():
        expect(time.monotonic() < end, f"{what}: not within {deadline:.0f} s")
        time.sleep(0.02)


class Program:
    """A program in the background, its output in a file; ended, by its id, on exit."""

    def __init__(self, command, stdin=subprocess.DEVNULL, cwd=None):
        self.command = [str(word) for word in command]
        self.log = tempfile.NamedTemporaryFile(prefix="program-", suffix=".log", delete=False)
        self.process = subprocess.Popen(
            self.command, stdin=stdin, stdout=self.log, stderr=subprocess.STDOUT, cwd=cwd
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        with open(self.log.name, errors="replace") as log:
            return log.read()

    def running(self):
        return self.process.poll() is None

    def wait_for_port(self, port):
        def ready():
            expect(self.running(), f"{self.command[0]} ended: {shorten(self.output())}")
            return listening(port)

        wait_until(ready, f"{' '.join(self.command[:2])} listens on port {port}")

    def wait(self, deadline=DEADLINE):
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(self.command[:2])} still runs after {deadline:.0f} s") from None

    def stop(self):
        """Asks it to end, then makes it."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        if os.path.exists(self.log.name):
            os.unlink(self.log.name)

    def memory(self, field="VmRSS"):
        """Resident memory in KiB."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise Failure(f"no {field} of process {self.pid}")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Ended:
    """How a program ended and what it said."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    @property
    def text(self):
        return (self.out + self.err).decode(errors="replace")


def run(command, stdin=b"", deadline=DEADLINE, cwd=None):
    """Runs a program to its end; one that does not end is killed and is a failure."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=deadline, cwd=cwd)
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode(errors="replace")
        raise Failure(f"{' '.join(words[:3])} did not end in {deadline:.0f} s: {shorten(said)}") from None
    return Ended(done.returncode, done.stdout, done.stderr)
