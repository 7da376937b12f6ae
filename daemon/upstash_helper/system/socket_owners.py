"""
The user who owns a TCP socket of this machine. Linux only: from netlink (sock_diag(7)) or ``/proc/net``.

Netlink looks up one connection in microseconds, however many there are. Sandboxes may forbid it (seccomp, gVisor);
``/proc/net/tcp`` has the same data, but all sockets have to be read.

A socket has an owner while a process has it open. After it was closed, some kernels keep the owner until the connection
has ended (6.18 does); others report user 0 without an inode, which means that there is no owner.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

Address = tuple[str, int]
"""An IP address and a port."""

_PackedAddress = tuple[bytes, int]
"""The IP address in 4 or 16 bytes, and the port."""

_PROC: Final = Path("/proc/net")
_MAX_LINE: Final = 256

# linux/netlink.h, linux/sock_diag.h
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2

# linux/inet_diag.h: nlmsghdr and inet_diag_req_v2 (family, protocol, states, ports, addresses, interface, cookie);
# nlmsghdr and inet_diag_msg (family, state, ports, owner, inode). Ports and addresses are in network byte order.
_REQUEST: Final = struct.Struct("=IHHII BBxxI 2s2s 16s16s 4x8s")
_ANSWER: Final = struct.Struct("=IHHII BBxx 2s2s 44x 12xII")
_ERROR: Final = struct.Struct("=IHHIIi")
_ALL_STATES: Final = 0xFFFF_FFFF
_NO_COOKIE: Final = b"\xff" * 8
_MAX_BYTES: Final = 8192

# RFC 4291, section 2.5.5.2: IPv4-mapped IPv6 addresses, which dual-stack sockets have (Java's, for example).
_MAPPED: Final = bytes(10) + b"\xff\xff"


def by_netlink(client: Address, server: Address) -> int | None:
    """
    Return the user id of the socket at ``client`` that is connected to ``server``; None if there is none, or no owner.

    Raises:
        OSError: If the kernel does not answer.
        ValueError: If an address is invalid.
    """
    found = _connected_socket(_packed(client), _packed(server))
    return found and _owner(found.uid, found.inode)


def by_proc(client: Address, server: Address, *, folder: Path = _PROC) -> int | None:
    """
    Return the same as ``by_netlink``, from the tables in ``folder``.

    Raises:
        OSError: If they cannot be read.
        ValueError: If an address is invalid.
    """
    return _search(_packed(client), _packed(server), folder)


def inode(client: Address, server: Address) -> int | None:
    """
    Return the inode of the socket at ``client`` that is connected to ``server``, by which its holders can be found in
    ``/proc``; None if there is no such socket, or no process has it open.

    Raises:
        OSError: If neither netlink nor the tables can be read.
        ValueError: If an address is invalid.
    """
    near, far = _packed(client), _packed(server)
    try:
        found = _connected_socket(near, far)
    except OSError:
        found = _find(near, far, _PROC)
    return found and (found.inode or None)


def may_be_listening(address: Address) -> bool:
    """
    Return whether a socket may listen at ``address`` or at the wildcard address. False is certain, unless the kernel
    was built without inet_diag's TCP module. Unlike ``listening``, this takes microseconds.

    Raises:
        ValueError: If the address is invalid.
    """
    near = _packed(address)
    try:
        return _ask_kernel(near, (bytes(len(near[0])), 0)) is not None
    except OSError:
        return True


def listening(address: Address, *, folder: Path = _PROC) -> int | None:
    """
    Return the user id of the socket that listens at exactly ``address``, or None if there is none.

    Raises:
        OSError: Like ``by_proc``.
        ValueError: Like ``by_proc``.
    """
    host, port = _packed(address)
    return _search((host, port), (bytes(len(host)), 0), folder)


class _Socket(NamedTuple):
    """A socket."""

    uid: int
    inode: int
    is_connected: bool = True
    """Whether it has the two addresses. Otherwise it listens at the near one."""


def _connected_socket(near: _PackedAddress, far: _PackedAddress) -> _Socket | None:
    found = _ask_kernel(near, far)
    if found is None and _ask_kernel(far, near) is None:
        # A kernel built without inet_diag's TCP module also answers ENOENT, so the other end is looked up too. After
        # the connection was reset, that is the socket which listens there. To read the tables then would be a waste:
        # it can take a hundred times longer.
        raise OSError(errno.ENOENT, "The kernel knows neither end of the connection.")
    return found if found and found.is_connected else None


def _ask_kernel(near: _PackedAddress, far: _PackedAddress) -> _Socket | None:
    """Return the socket with these addresses, or else one that listens at the near one; None if there is neither."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "Only Linux has netlink.")
    ports = near[1].to_bytes(2, "big"), far[1].to_bytes(2, "big")
    request = _REQUEST.pack(
        *(_REQUEST.size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0),
        *(socket.AF_INET if len(near[0]) == 4 else socket.AF_INET6, socket.IPPROTO_TCP, _ALL_STATES),
        *(*ports, near[0], far[0], _NO_COOKIE),
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(request)
        # The kernel answers synchronously, during the send.
        answer = kernel.recv(_MAX_BYTES, socket.MSG_DONTWAIT)
    kind = int.from_bytes(answer[4:6], sys.byteorder)
    if kind == _NLMSG_ERROR and len(answer) >= _ERROR.size:
        code = -_ERROR.unpack_from(answer)[-1]
        if code == errno.ENOENT:
            return None
        raise OSError(code, os.strerror(code))
    if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _ANSWER.size:
        raise OSError(errno.EPROTO, "Unexpected answer from netlink.")
    *_, source, destination, uid, inode = _ANSWER.unpack_from(answer)
    return _Socket(uid, inode, is_connected=(source, destination) == ports)


def _search(near: _PackedAddress, far: _PackedAddress, folder: Path) -> int | None:
    found = _find(near, far, folder)
    return found and _owner(found.uid, found.inode)


def _find(near: _PackedAddress, far: _PackedAddress, folder: Path) -> _Socket | None:
    """
    Return the socket with these addresses from the tables. A missing table means that there are no such sockets.
    """
    tables = (("tcp", b""), ("tcp6", _MAPPED)) if len(near[0]) == 4 else (("tcp6", b""),)
    for table, prefix in tables:
        line = " ".join(f"{_hex(prefix + host)}:{port:04X}" for host, port in (near, far))
        try:
            text = (folder / table).read_bytes()
        except FileNotFoundError:
            continue
        _, found, rest = text.partition(f" {line} ".encode())
        if found:
            # The fields after the addresses: state tx:rx timer:when retransmits uid timeout inode (proc_net_tcp.rst).
            fields = rest[:_MAX_LINE].split()
            return _Socket(int(fields[4]), int(fields[6]))
    return None


def _owner(uid: int, inode: int) -> int | None:
    return None if uid == 0 and inode == 0 else uid


def _hex(packed: bytes) -> str:
    """Format an address as in the tables: 32-bit words in the machine's byte order."""
    words = (packed[start : start + 4] for start in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _packed(address: Address) -> _PackedAddress:
    host, port = address
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        raise ValueError(host) from None
    if not 0 < port < 0x10000:
        raise ValueError(port)
    return packed.removeprefix(_MAPPED), port
