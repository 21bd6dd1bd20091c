"""Which file system a folder is on: on those of a network, the locks that a database stands on do not hold."""

from __future__ import annotations

import re
from pathlib import Path

# Linux; elsewhere there is no such file, and nothing is known of any folder.
MOUNTS = Path("/proc/self/mounts")

# As the kernel names them. Shared disks (gfs2, ocfs2) and folders of a host machine (9p, vboxsf) are among them: they
# too are written to by machines that do not see each other's locks or memory.
NETWORK_TYPES = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs", "gfs2", "glusterfs", "gpfs"),
        *("lustre", "mmfs", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "quobyte"),
        *("smb2", "smb3", "smbfs", "vboxsf", "vmhgfs", "wekafs"),
    }
)
# A program in place of the kernel, which the type names after a dot.
NETWORK_PROGRAMS = frozenset(
    {
        *("beegfs", "ceph", "ceph-fuse", "cvmfs", "cvmfs2", "daos", "davfs", "dfuse", "gcsfuse", "glusterfs", "goofys"),
        *("juicefs", "mfs", "moosefs", "mount-s3", "nfs", "quobyte", "rclone", "s3fs", "smbnetfs", "sshfs"),
        "vmhgfs-fuse",
    }
)


def network_mount(folder: Path) -> str | None:
    """The network file system that a folder is on, or will be on when it is created.

    Args:
        folder: Need not be there yet.

    Returns:
        Type and mount point, such as ``"nfs4, mounted at /home"``, or ``None`` for one of this machine's own disks
        and wherever the system does not tell.
    """
    place = folder.expanduser().resolve()
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    kind, point = "", Path()
    for line in lines:
        _, mounted_at, its_kind, *_ = [*line.split(" "), "", "", ""]
        at = Path(_unescaped(mounted_at))
        # A mount hides what was mounted at its place or below before; the kernel lists them in that order.
        if place.is_relative_to(at) and len(at.parts) >= len(point.parts):
            kind, point = its_kind, at
    remote = kind in NETWORK_TYPES or kind.removeprefix("fuse.") in NETWORK_PROGRAMS
    return f"{kind}, mounted at {point}" if remote else None


def _unescaped(field: str) -> str:
    """A field as it was: the kernel writes a space as a backslash and 040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
