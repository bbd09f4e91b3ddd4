"""Certificates for the checks, made at run time with the `openssl` command."""

import os

from harness import Failure, run

NAME = "localhost"
PASSPHRASE = "a passphrase for a test key"

CA_CONFIGURATION = """
[ca]
default_ca = the_ca
[the_ca]
database = {dir}/index.txt
new_certs_dir = {dir}
rand_serial = yes
default_md = sha256
default_days = 30
unique_subject = no
policy = any
copy_extensions = none
[any]
commonName = supplied
[req]
distinguished_name = empty
[empty]
"""

SERVER = "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
CLIENT = "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n"
AUTHORITY = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"


class Pki:
    """Files below one directory; `path("x.pem")` names one."""

    def __init__(self, directory):
        self.directory = directory
        with open(self.path("ca.cnf"), "w") as file:
            file.write(CA_CONFIGURATION.format(dir=directory))
        open(self.path("index.txt"), "w").close()
        self.authority("ca", "Test root")
        self.authority("client-ca", "Test root for clients")
        self.authority("other-ca", "Test root nobody trusts")
        names = f"subjectAltName=DNS:{NAME},IP:127.0.0.1\n"
        self.leaf("server", "ca", "a server", SERVER + names)
        self.leaf("server-rsa", "ca", "a server with RSA", SERVER + names, kind="rsa")
        self.leaf("client", "client-ca", "a client", CLIENT)
        self.leaf("stranger", "other-ca", "a stranger", CLIENT)
        self.leaf("expired", "ca", "an expired server", SERVER + names, dates=("20200101000000Z", "20200201000000Z"))
        self.leaf("early", "ca", "a server of the future", SERVER + names, dates=("20480101000000Z", "20490101000000Z"))
        self.leaf("wrong-name", "ca", "another server", SERVER + "subjectAltName=DNS:other.example\n")
        self.leaf("common-name", "ca", NAME, SERVER)
        self.leaf("wrong-purpose", "ca", "a client as server", CLIENT + names)
        self.leaf("untrusted", "other-ca", "an untrusted server", SERVER + names)
        self.other_forms()

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def openssl(self, *words):
        done = run(["openssl", *words], cwd=self.directory)
        if done.code != 0:
            raise Failure(f"openssl {' '.join(words)}: {done.text}")
        return done.out

    def request(self, name, subject, kind):
        algorithm = {"ec": ["EC", "ec_paramgen_curve:P-256"], "rsa": ["RSA", "rsa_keygen_bits:2048"]}[kind]
        self.openssl("genpkey", "-algorithm", algorithm[0], "-pkeyopt", algorithm[1], "-out", f"{name}.key")
        self.openssl("req", "-new", "-config", "ca.cnf", "-key", f"{name}.key", "-subj", f"/CN={subject}", "-out", f"{name}.csr")

    def authority(self, name, subject):
        self.request(name, subject, "ec")
        self.sign(name, AUTHORITY, "-selfsign", "-keyfile", f"{name}.key")

    def leaf(self, name, authority, subject, extensions, kind="ec", dates=None):
        self.request(name, subject, kind)
        words = ["-cert", f"{authority}.pem", "-keyfile", f"{authority}.key"]
        if dates:
            words += ["-startdate", dates[0], "-enddate", dates[1]]
        self.sign(name, extensions, *words)

    def sign(self, name, extensions, *words):
        self.write(f"{name}.ext", extensions.encode())
        self.openssl(
            "ca", "-batch", "-notext", "-config", "ca.cnf", "-extfile", f"{name}.ext",
            "-in", f"{name}.csr", "-out", f"{name}.pem", *words,
        )

    def other_forms(self):
        """The same keys as other programs write them, and broken ones."""
        self.openssl("ec", "-in", "server.key", "-out", "server.sec1.key")
        self.openssl("rsa", "-in", "server-rsa.key", "-traditional", "-out", "server-rsa.pkcs1.key")
        self.openssl(
            "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", f"pass:{PASSPHRASE}",
            "-in", "server.key", "-out", "encrypted.key",
        )
        self.openssl(
            "rsa", "-aes128", "-traditional", "-passout", f"pass:{PASSPHRASE}",
            "-in", "server-rsa.key", "-out", "encrypted.old.key",
        )
        key, certificate = self.read("server.key"), self.read("server.pem")
        self.write("torn.key", key[: len(key) * 2 // 3])
        self.write("torn.pem", certificate[: len(certificate) * 2 // 3])
        lines = key.splitlines(keepends=True)
        self.write("scrambled.key", b"".join([lines[0], b"?" * 20 + b"\n", *lines[1:]]))
        self.write("garbage.pem", b"This is not a certificate.\n")
        self.write("empty.pem", b"")
        self.openssl("x509", "-in", "server.pem", "-outform", "DER", "-out", "server.der")
