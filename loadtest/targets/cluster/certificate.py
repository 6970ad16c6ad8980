"""How does a server on this machine get a certificate that can be verified?

From an authority made for this one start: its certificate is what the users are told to trust, its key is
thrown away.
"""

from pathlib import Path
from typing import NamedTuple

import trustme


class Certificate(NamedTuple):
    """PEM files: what to trust, and what the server proves itself by."""

    authority: Path
    server: Path


def issue(folder: Path, host: str) -> Certificate:
    """For that host, localhost and the loopback addresses; both files lie in ``folder``, for its owner alone."""
    authority = trustme.CA()
    names = dict.fromkeys((host, "localhost", "127.0.0.1", "::1"))
    certificate = authority.issue_cert(*names)
    files = Certificate(folder / "authority.pem", folder / "server.pem")
    authority.cert_pem.write_to_path(str(files.authority))
    files.server.touch(mode=0o600)  # before there is a key in it
    certificate.private_key_and_cert_chain_pem.write_to_path(str(files.server))
    return files
