"""Which folders are on a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from moe_mat.files import mounts
from moe_mat.files.mounts import network_mount

# As a cluster's node has it: homes on a server, scratch on Lustre, and disks of its own, one of them below a home.
NODE = r"""
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
tmpfs /tmp tmpfs rw 0 0
systemd-1 /data autofs rw 0 0
server:/data /data nfs4 rw,vers=4.2 0 0
server:/home /home nfs rw 0 0
/dev/sdb1 /home/me/local\040disk xfs rw 0 0
10.0.0.1@tcp:/fs /scratch lustre rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
bucket /mnt/bucket fuse.rclone rw 0 0
/dev/sdc1 /mnt/ntfs fuseblk rw 0 0
portal /run/portal fuse.portal rw 0 0
//server/share /mnt/share cifs rw 0 0
host /mnt/host 9p rw 0 0
""".lstrip()


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "mounts"
    file.write_text(NODE)
    monkeypatch.setattr(mounts, "MOUNTS", file)
    return file


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("/", None),
        ("/var/cache/moe_mat", None),
        ("/tmp/moe_mat", None),
        ("/data/moe_mat", "nfs4, mounted at /data"),
        ("/data", "nfs4, mounted at /data"),
        ("/database", None),
        ("/home/me/.cache/moe_mat", "nfs, mounted at /home"),
        ("/home/me/local disk/moe_mat", None),
        ("/home/me/local", "nfs, mounted at /home"),
        ("/scratch/me", "lustre, mounted at /scratch"),
        ("/mnt/ssh/a", "fuse.sshfs, mounted at /mnt/ssh"),
        ("/mnt/bucket/a", "fuse.rclone, mounted at /mnt/bucket"),
        ("/mnt/ntfs/a", None),
        ("/run/portal/a", None),
        ("/mnt/share/a", "cifs, mounted at /mnt/share"),
        ("/mnt/host/a", "9p, mounted at /mnt/host"),
    ],
)
def test_the_mount_that_a_folder_is_on_decides(folder: str, found: str | None) -> None:
    assert network_mount(Path(folder)) == found


def test_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to("/scratch/me")
    assert network_mount(tmp_path / "cache" / "moe_mat") == "lustre, mounted at /scratch"


def test_where_the_system_does_not_tell_nothing_is_refused(node: Path) -> None:
    node.unlink()
    assert network_mount(Path("/scratch/me")) is None
    node.write_text("a line of another kind\n\n")
    assert network_mount(Path("/scratch/me")) is None
