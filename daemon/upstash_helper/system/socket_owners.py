"""
Which user owns a TCP socket of this machine, as Linux tells it: by netlink (sock_diag(7)), or from ``/proc/net``.

Netlink answers one question about one connection in some microseconds, however many there are. Sandboxes may forbid it
(seccomp, gVisor); ``/proc/net/tcp`` says the same, after going through all sockets.

An owner is told of sockets that a program has open, and of those that it has closed and that are still being finished,
by the kernels that keep the owner till then (6.18 does). Others say user 0 without an inode then, which means nobody.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

Address = tuple[str, int]
"""An IP address and a port."""

_End = tuple[bytes, int]
"""The address in 4 or 16 bytes."""

_PROC: Final = Path("/proc/net")
_LONGEST_LINE: Final = 256

# linux/netlink.h, linux/sock_diag.h
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2

# linux/inet_diag.h: nlmsghdr and inet_diag_req_v2 (family, protocol, states; the ports, the addresses, the interface, a
# cookie); nlmsghdr and inet_diag_msg (family, state; the ports; owner, inode). Ports and addresses in network order.
_REQUEST: Final = struct.Struct("=IHHII BBxxI 2s2s 16s16s 4x8s")
_ANSWER: Final = struct.Struct("=IHHII BBxx 2s2s 44x 12xII")
_ERROR: Final = struct.Struct("=IHHIIi")
_ALL_STATES: Final = 0xFFFF_FFFF
_NO_COOKIE: Final = b"\xff" * 8
_MOST_BYTES: Final = 8192

# RFC 4291, section 2.5.5.2. A socket for both families, such as Java's, has such addresses when it speaks IPv4.
_MAPPED: Final = bytes(10) + b"\xff\xff"


def by_netlink(client: Address, server: Address) -> int | None:
    """
    Return the user id of the owner of the socket at ``client`` that is connected to ``server``; None if there is no
    such socket, or nobody owns it.

    Raises:
        OSError: If the kernel does not tell.
        ValueError: If an address is none.
    """
    near, far = _end(client), _end(server)
    found = _ask_kernel(near, far)
    if found is None and _ask_kernel(far, near) is None:
        # It says the same of a connection that has gone and when it is built without the answer to this question.
        raise OSError(errno.ENOENT, "The kernel knows neither end.")
    return found and _owner(*found)


def by_proc(client: Address, server: Address, *, folder: Path = _PROC) -> int | None:
    """
    Return what ``by_netlink`` does, from the tables in ``folder``.

    Raises:
        OSError: If they cannot be read.
        ValueError: If an address is none.
    """
    return _search(_end(client), _end(server), folder)


def listening(address: Address, *, folder: Path = _PROC) -> int | None:
    """
    Return the user id of the owner of the socket that listens at exactly ``address``; None if there is none.

    Raises:
        OSError: As ``by_proc``.
        ValueError: As ``by_proc``.
    """
    host, port = _end(address)
    return _search((host, port), (bytes(len(host)), 0), folder)


def _ask_kernel(near: _End, far: _End) -> tuple[int, int] | None:
    """Return user id and inode of a socket, or None if there is none."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "Netlink is Linux's.")
    ports = near[1].to_bytes(2, "big"), far[1].to_bytes(2, "big")
    request = _REQUEST.pack(
        *(_REQUEST.size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0),
        *(socket.AF_INET if len(near[0]) == 4 else socket.AF_INET6, socket.IPPROTO_TCP, _ALL_STATES),
        *(*ports, near[0], far[0], _NO_COOKIE),
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(request)
        # The kernel has answered when that returns.
        answer = kernel.recv(_MOST_BYTES, socket.MSG_DONTWAIT)
    kind = int.from_bytes(answer[4:6], sys.byteorder)
    if kind == _NLMSG_ERROR and len(answer) >= _ERROR.size:
        code = -_ERROR.unpack_from(answer)[-1]
        if code == errno.ENOENT:
            return None
        raise OSError(code, os.strerror(code))
    if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _ANSWER.size:
        raise OSError(errno.EPROTO, "This is no answer to what was asked.")
    *_, source, destination, uid, inode = _ANSWER.unpack_from(answer)
    # Where there is no connection, it answers with a socket that listens on the client's port, if there is one.
    return (uid, inode) if (source, destination) == ports else None


def _search(near: _End, far: _End, folder: Path) -> int | None:
    """Return the owner of a socket, from the tables; one that is not there has no sockets."""
    tables = (("tcp", b""), ("tcp6", _MAPPED)) if len(near[0]) == 4 else (("tcp6", b""),)
    for table, prefix in tables:
        line = " ".join(f"{_hex(prefix + host)}:{port:04X}" for host, port in (near, far))
        try:
            text = (folder / table).read_bytes()
        except FileNotFoundError:
            continue
        _, found, rest = text.partition(f" {line} ".encode())
        if found:
            # After the addresses: state tx:rx timer:when retransmits uid timeout inode (proc_net_tcp.rst).
            fields = rest[:_LONGEST_LINE].split()
            return _owner(int(fields[4]), int(fields[6]))
    return None


def _owner(uid: int, inode: int) -> int | None:
    return None if uid == 0 and inode == 0 else uid


def _hex(packed: bytes) -> str:
    """Return an address as the tables have it: words in the byte order of this machine."""
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _end(address: Address) -> _End:
    host, port = address
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        raise ValueError(host) from None
    if not 0 < port < 0x10000:
        raise ValueError(port)
    return packed.removeprefix(_MAPPED), port
