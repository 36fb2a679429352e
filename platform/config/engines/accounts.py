"""Which uid the engines run under and the directories it owns; never changes accounts, parents or anything not ours."""

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from config.engines.errors import EngineError

# systemd's table of uids leaves 65520…65533 to nobody in particular; all below 65536, so that they exist in user
# namespaces of rootless containers too.
_UNUSED_UIDS = range(65533, 65519, -1)


class PopenAs(TypedDict, total=False):
    user: int
    group: int
    extra_groups: Iterable[str | int]


@dataclass(frozen=True, slots=True)
class Owner:
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        return self.uid == os.geteuid()

    @property
    def has_name(self) -> bool:
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            return False
        return True

    @property
    def popen(self) -> PopenAs:
        """The arguments of subprocess that make a child run as this owner, and with no group of ours."""
        return {} if self.is_us else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path: Path) -> None:
        if not self.is_us:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def take_tree(self, root: Path) -> None:
        self.take(root)
        for folder, folders, files in os.walk(root):
            for name in [*folders, *files]:
                self.take(Path(folder, name))


def find_owner(postgres_data: Path, *others: Path) -> Owner:
    """Ourselves, or for root the owner of the data that is there, or an unused uid for a first start."""
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid())
    for path in (postgres_data, *others):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if found.st_uid != 0:
            return Owner(found.st_uid, found.st_gid)
    for uid in _UNUSED_UIDS:
        if not Owner(uid, uid).has_name and not _has_group(uid):
            return Owner(uid, uid)
    raise EngineError(
        "PostgreSQL refuses to run as root, and every uid from 65520 to 65533 is somebody's.",
        mend="run as an ordinary account, or set DATABASE_URL and REDIS_URL",
        permanent=True,
    )


def find_named_owner(owner: Owner) -> Owner:
    """One that has a name: initdb looks up its own uid in the passwd database and stops when there is no entry."""
    if owner.has_name:
        return owner
    if os.geteuid() == 0:
        for entry in [*(e for e in pwd.getpwall() if e.pw_name == "nobody"), *pwd.getpwall()]:
            if entry.pw_uid != 0:
                return Owner(entry.pw_uid, entry.pw_gid)
    raise EngineError(
        f"initdb needs an account with a name, and uid {owner.uid} has no entry in the passwd database.",
        mend="run under a named account, or set DATABASE_URL",
        permanent=True,
    )


def make_private_dir(path: Path, *, owner: Owner) -> Path:
    """Mode 0700 and owned by owner; refuses one that a stranger put there first (the place may be below /tmp)."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {owner.uid, os.geteuid()}:
            raise EngineError(
                f"{path} belongs to uid {found.st_uid}, not to the engines (uid {owner.uid}).",
                mend="run as the account that made it, remove it, or set SWITCHBOARD_DATA_DIR to another directory",
                permanent=True,
            ) from None
        path.chmod(0o700)
    owner.take(path)
    return path


def make_open_dir(path: Path) -> Path:
    """Ours, and walkable but not readable for the engines' uid; an existing one stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        found = path.lstat()
        if path.parent.stat().st_mode & stat.S_ISVTX and (
            not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid()
        ):
            raise EngineError(
                f"{path} was put there by uid {found.st_uid}.",
                mend="remove it, or set SWITCHBOARD_DATA_DIR to another directory",
                permanent=True,
            ) from None
    else:
        path.chmod(0o711)
    return path


def _has_group(gid: int) -> bool:
    try:
        grp.getgrgid(gid)
    except KeyError:
        return False
    return True
