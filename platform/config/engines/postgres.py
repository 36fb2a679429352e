"""The embedded PostgreSQL: makes its cluster once, says how it is run and whether it answers; starts no server itself."""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from config.engines.accounts import Owner, find_named_owner, make_private_dir
from config.engines.errors import EngineError
from config.engines.places import POSTGRES_PORT, Places
from config.engines.programs import CLEAN_ENVIRONMENT, PostgresPrograms
from config.engines.urls import DATABASE_APP, DATABASE_NAME, DATABASE_OWNER

_INITDB_SECONDS = 60.0  # 0.5 s on a warm machine; a laptop's disk under load takes longer
_PROTOCOL_3 = 196_608  # StartupMessage, protocol version 3.0
_ANSWER_SECONDS = 1.0

# Every connection comes through a Unix socket in a directory of mode 0700: the file system is the password.
_HBA = "local all all trust\n"


@dataclass(frozen=True, slots=True)
class Postgres:
    places: Places
    owner: Owner
    programs: PostgresPrograms
    is_throwaway: bool

    name = "postgres"
    process_name = "postgres"
    stop_signal = signal.SIGINT  # "fast shutdown": open sessions are cut, the checkpoint is written
    hard_stop_signal = (
        signal.SIGQUIT
    )  # "immediate shutdown": the children end too, the log is replayed at the next start

    @property
    def data(self) -> Path:
        return self.places.postgres_data

    @property
    def log(self) -> Path:
        return self.places.logs / "postgres.log"

    @property
    def command(self) -> list[str]:
        return [str(self.programs.postgres), "-D", str(self.data)]

    def prepare(self) -> None:
        """Call this only while no server runs on the data: it makes the cluster if needed and removes stale locks."""
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        self._check_version()
        self._write_settings(self.data)
        # The pid in the lock file may be a stranger's by now (after a reboot), and then PostgreSQL refuses to start.
        for stale in (
            self.data / "postmaster.pid",
            self.places.postgres_socket,
            self.places.postgres_socket.with_name(f"{self.places.postgres_socket.name}.lock"),
        ):
            stale.unlink(missing_ok=True)

    def is_answering(self) -> bool:
        """Whether a session can be opened now; knocks only when the server says it is ready, to keep its log clean."""
        try:
            status = (self.data / "postmaster.pid").read_text().splitlines()[7:8]
        except OSError:
            return False
        return status == ["ready   "] and can_open_session(self.places.postgres_socket)

    def _make_cluster(self) -> None:
        """In a directory of its own that gets the real name last, so that a start that was killed leaves no half cluster."""
        if self.data.exists() and any(self.data.iterdir()):
            raise EngineError(
                f"{self.data} is not empty and holds no PostgreSQL cluster.",
                mend="move its content away, or set SWITCHBOARD_DATA_DIR to another directory",
                permanent=True,
            )
        maker = find_named_owner(self.owner)
        unfinished = self.data.with_name("postgres.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        make_private_dir(unfinished, owner=maker)
        options = [
            *("-D", str(unfinished), "-U", "postgres", "--auth-local=trust", "--auth-host=reject"),
            # The builtin provider sorts the same on every machine and after every upgrade of its C library.
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--no-instructions", *(("--no-sync", "--no-data-checksums") if self.is_throwaway else ())),
        ]
        self._run([str(self.programs.initdb), *options], maker=maker)
        # The product's roles are no superusers. Single-user mode, so that no server is ever open without its settings.
        # What the application's role may do is granted by `migrate` (config.postgres.roles).
        self._run(
            [str(self.programs.postgres), "--single", "-D", str(unfinished), "postgres"],
            maker=maker,
            stdin=f"CREATE ROLE {DATABASE_OWNER} LOGIN CREATEDB\nCREATE ROLE {DATABASE_APP} LOGIN\n"
            f"CREATE DATABASE {DATABASE_NAME} OWNER {DATABASE_OWNER}\n",
        )
        (unfinished / "pg_hba.conf").write_text(_HBA)
        self.owner.take_tree(unfinished)
        if self.data.exists():
            self.data.rmdir()
        unfinished.rename(self.data)

    def _run(self, command: list[str], *, maker: Owner, stdin: str = "") -> None:
        with self.log.open("ab") as log:
            try:
                done = subprocess.run(  # noqa: S603 # the wheel's own programs
                    command,
                    input=stdin.encode(),
                    stdout=log,
                    stderr=log,
                    env=CLEAN_ENVIRONMENT,
                    cwd="/",
                    timeout=_INITDB_SECONDS,
                    check=False,
                    **maker.popen,
                )
                failed = done.returncode != 0
            except (OSError, subprocess.TimeoutExpired) as error:
                log.write(f"{error}\n".encode())
                failed = True
        if failed:
            raise EngineError(
                f"The PostgreSQL cluster could not be made in {self.data}.",
                mend="see the log; is the disk full, or the data directory on a file system without owners and modes?",
                permanent=False,
                log=self.log,
            )

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != "18":
            raise EngineError(
                f"{self.data} was made by PostgreSQL {found}, and the wheel brings PostgreSQL 18.",
                mend="load a dump of it into a fresh data directory (SWITCHBOARD_DATA_DIR), or remove it to start anew",
                permanent=True,
            )

    def _write_settings(self, cluster: Path) -> None:
        sockets = str(self.places.sockets).replace('"', '""')
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": _quote(f'"{sockets}"'),  # a list: the inner quotes keep a comma in the path
            "unix_socket_permissions": "0700",
            "port": str(POSTGRES_PORT),
            "max_connections": "200",  # six processes with a pool each, or eight test workers
            "shared_buffers": "128MB",
            "timezone": "'UTC'",
            "log_timezone": "'UTC'",
            "lc_messages": "'C'",
            "client_encoding": "'UTF8'",
            "jit": "off",
            # Parallel queries need more shared memory than a container's 64 MB /dev/shm may hold.
            "max_parallel_workers_per_gather": "0",
            "wal_level": "minimal",  # nobody replicates from an embedded server
            "max_wal_senders": "0",
            "max_wal_size": "512MB",
        }
        if self.is_throwaway:
            # synchronous_commit stays on: without fsync it costs a write() to the page cache, and without it tests that kill
            # the server would lose what it had confirmed.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        lines = ["# Written anew at every start by config.engines.postgres: changes made here are lost."]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        path = cluster / "postgresql.conf"
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)
        self.owner.take(path)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def can_open_session(path: Path) -> bool:
    """The start of the wire protocol by hand: a driver here would cost every process 0.1 s (PostgreSQL 18, §54.2.1)."""
    parameters = b"".join(word.encode() + b"\0" for word in ("user", DATABASE_OWNER, "database", DATABASE_NAME, ""))
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError, EOFError):
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(os.fspath(path))
        connection.sendall(struct.pack("!ii", 8 + len(parameters), _PROTOCOL_3) + parameters)
        with connection.makefile("rb") as answers:
            while head := answers.read(5):
                kind, length = struct.unpack("!ci", head)
                answers.read(length - 4)
                if kind == b"E":
                    return False
                if kind == b"Z":  # ReadyForQuery
                    connection.sendall(struct.pack("!ci", b"X", 4))
                    return True
    return False
