"""`polytls serve`: what it serves, and what it refuses to."""

import hashlib
import os

from harness import HOST, expect, expect_equal, run, shorten
from origin import Body
from pki import NAME

BIG = 200 << 20
TEXT = b"0123456789abcdefghijklmnopqrstuvwxyz\n"


def checks(suite, setup):
    root = lay_out(setup.pki)
    with setup.serve(root, "--threads", "2") as front:
        descriptors = front.descriptors()
        label = f"{setup} serve"
        for version in ("1.2", "1.3"):
            suite.check(f"{label} sends a file of 200 MiB, {version}", big, front, version)
        suite.check(f"{label} sends a small file, its head and its parts", small, front)
        refused = {
            "a path with ..": "/../secret.txt",
            "a path with .. in it": "/sub/../../secret.txt",
            "an encoded ..": "/%2e%2e/secret.txt",
            "an encoded slash": "/..%2fsecret.txt",
            "a doubly encoded ..": "/%252e%252e/secret.txt",
            "an absolute path": f"/{setup.pki.path('secret.txt')}",
            "a symbolic link out": "/link.txt",
            "a symbolic link to a directory out": "/linked/secret.txt",
            "a link to an absolute path out": "/absolute.txt",
            "a fifo": "/fifo",
            "a missing file": "/nowhere.txt",
            "a zero byte": "/small.txt%00",
            "a backslash": "/..\\secret.txt",
            "a path of 60000 bytes": "/" + "a" * 60000,
        }
        for name, path in refused.items():
            suite.check(f"{label} refuses {name}", refuses, front, path)
        suite.check(f"{label} refuses other methods", methods, front)
        suite.check(f"{label} is well after them", all_well, front, descriptors)


def lay_out(pki):
    root = pki.path("root")
    if os.path.isdir(root):
        return root
    os.makedirs(os.path.join(root, "sub"))
    pki.write("secret.txt", b"a secret\n")
    pki.write("root/small.txt", TEXT)
    pki.write("root/sub/page.html", b"<p>a page</p>\n")
    with open(os.path.join(root, "big.bin"), "wb") as file:
        for block in Body.blocks(BIG):
            file.write(block)
    os.symlink("../secret.txt", os.path.join(root, "link.txt"))
    os.symlink("..", os.path.join(root, "linked"))
    os.symlink(pki.path("secret.txt"), os.path.join(root, "absolute.txt"))
    os.mkfifo(os.path.join(root, "fifo"))
    return root


def curl(front, path, *words, deadline=100):
    command = [
        "curl", "--silent", "--show-error", "--include", "--ipv4", "--http1.1", "--noproxy", "*", "--path-as-is", "--globoff",
        "--cacert", front.setup.pki.path("ca.pem"), "--max-time", str(deadline), *words,
    ]
    done = run([*command, f"https://{NAME}:{front.port}{path}"], deadline=deadline + 5)
    head, _, body = done.out.partition(b"\r\n\r\n")
    fields = head.decode(errors="replace").split("\r\n")
    status = int(fields[0].split()[1]) if fields[0].startswith("HTTP/") else None
    expect(status, f"no answer: {shorten(done.text)}")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields[1:])}
    return status, headers, body


def big(front, version):
    status, headers, body = curl(front, "/big.bin", f"--tlsv{version}", "--tls-max", version)
    expect_equal((status, headers.get("content-length")), (200, str(BIG)), "status and length")
    expect_equal(hashlib.sha256(body).hexdigest(), Body.sha256(BIG), "SHA-256")


def small(front):
    status, headers, body = curl(front, "/small.txt")
    expect_equal((status, body), (200, TEXT), "the file")
    expect(headers.get("content-type", "").startswith("text/plain"), f"content type {headers.get('content-type')}")
    status, headers, body = curl(front, "/small.txt", "--head")
    expect_equal((status, headers.get("content-length"), body), (200, str(len(TEXT)), b""), "the head")
    for asked, wanted in (("0-9", TEXT[:10]), ("10-", TEXT[10:]), ("-5", TEXT[-5:]), ("30-99", TEXT[30:])):
        status, headers, body = curl(front, "/small.txt", "--range", asked)
        expect_equal((status, body), (206, wanted), f"the range {asked}")
        first = TEXT.index(wanted)
        expect_equal(headers.get("content-range"), f"bytes {first}-{first + len(wanted) - 1}/{len(TEXT)}", "Content-Range")
    status, headers, _ = curl(front, "/small.txt", "--range", "100-200")
    expect_equal((status, headers.get("content-range")), (416, f"bytes */{len(TEXT)}"), "a range outside")
    status, headers, body = curl(front, "/big.bin", "--range", f"{(100 << 20) + 8}-{(100 << 20) + 107}")
    block = next(block for index, block in enumerate(Body.blocks(BIG)) if index == 100)
    expect_equal((status, body), (206, block[8:108]), "a range in the middle of a big file")


def refuses(front, path):
    status, _, body = curl(front, path, deadline=10)
    expect(400 <= status < 500, f"status {status}: {shorten(body)}")
    expect(b"a secret" not in body, "the secret is out")
    return f"status {status}"


def methods(front):
    for method in ("PUT", "DELETE", "POST", "OPTIONS"):
        status, headers, _ = curl(front, "/small.txt", "--request", method)
        expect_equal(status, 405, f"status of {method}")
        expect("GET" in headers.get("allow", ""), f"Allow of {method}: {headers.get('allow')}")


def all_well(front, descriptors):
    front.expect_no_panic()
    front.expect_idle(descriptors)
    expect(curl(front, "/small.txt")[0] == 200, "a good client afterwards")
    peak = front.memory("VmHWM") / 1024
    expect(peak < 200, f"{peak:.0f} MiB resident at most")
    code = front.end()
    expect(code == 0, f"exit code {code} after SIGTERM")
    return f"at most {peak:.0f} MiB resident"
