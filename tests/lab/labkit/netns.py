"""Network namespaces.  They are entered by a thread of its own, so the caller's is never changed.

Made here and not with "ip netns add", because a lab makes hundreds of them."""
import concurrent.futures
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import threading

from .layout import NETNS_DIR

CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED, MNT_DETACH = 0x1000, 0x4000, 1 << 20, 2
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCETHTOOL, ETHTOOL_STXCSUM, IFF_UP = 0x8913, 0x8914, 0x8946, 0x17, 1

libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def enter_fd(fd):
    """Moves the calling thread.  Only for threads that the caller owns."""
    _check(libc.setns(fd, CLONE_NEWNET), "setns")


def enter(name):
    fd = os.open(os.path.join(NETNS_DIR, name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_fd(fd)
    finally:
        os.close(fd)


def call(name, function, *arguments, **keywords):
    """Runs a function in a thread of its own inside namespace 'name'; its children are there too."""
    result = concurrent.futures.Future()

    def body():
        try:
            enter(name)
            result.set_result(function(*arguments, **keywords))
        except BaseException as error:      # Handed to the caller.
            result.set_exception(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return result.result()


def prepare():
    """What "ip netns add" does once: a shared mount, so that namespaces are seen in every mount namespace."""
    os.makedirs(NETNS_DIR, mode=0o755, exist_ok=True)
    path = NETNS_DIR.encode()
    if libc.mount(b"", path, b"none", MS_SHARED | MS_REC, None) != 0:
        _check(libc.mount(path, path, b"none", MS_BIND | MS_REC, None), "mount")
        _check(libc.mount(b"", path, b"none", MS_SHARED | MS_REC, None), "mount")


def create(name):
    """Makes a namespace, its loopback up."""
    path = os.path.join(NETNS_DIR, name)
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    result = concurrent.futures.Future()

    def body():
        try:
            _check(libc.unshare(CLONE_NEWNET), "unshare")
            own = f"/proc/self/task/{threading.get_native_id()}/ns/net"
            _check(libc.mount(own.encode(), path.encode(), b"none", MS_BIND, None), "mount")
            set_up("lo")
            result.set_result(None)
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    try:
        result.result()
    except BaseException:
        delete(name)
        raise


def delete(name):
    """Takes the name away; the namespace goes with its last process.  Fine when it does not exist."""
    path = os.path.join(NETNS_DIR, name)
    libc.umount2(path.encode(), MNT_DETACH)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def inode(name):
    """Identifies a namespace; None when 'name' holds none (a file that is left of a failed start)."""
    try:
        there = os.stat(os.path.join(NETNS_DIR, name))
    except OSError:
        return None
    return there.st_ino if there.st_dev == os.stat("/proc/self/ns/net").st_dev else None


# --- inside the calling thread's namespace ---

def set_up(device):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", device.encode(), 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", device.encode(), flags | IFF_UP))


def tx_checksum_off(device):
    """A wire carries finished checksums and no segment above its MTU; the userspace datapath relies on that."""
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP8x", device.encode(), ctypes.addressof(value)))


def set_sysctl(name, value):
    """Fine when this kernel does not have it."""
    with contextlib.suppress(FileNotFoundError), open("/proc/sys/" + name.replace(".", "/"), "w") as file:
        file.write(str(value))
