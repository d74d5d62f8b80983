"""
Long runs of programs over SFTP: fio, dbench, restic, borg and git in a mount, and lftp.

    python -m tests.soak.sftp_programs [--mib 2048] [--only fio,dbench,restic,borg,git,lftp]

Each finds what it wrote, byte for byte, or ends with an error, which is printed; the exit
code is 1 then.  Programs that are not installed are left out, and that is said.  fio writes
and reads *mib* MiB in blocks of 64 KiB at random places.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.integration.mounts import done, need_mounts, sshfs
from tests.integration.sftp_clients import CONFIG, Account, new_account
from tests.processes import GridProcess, running
from tests.report import report

TIME = 6 * 3600.0  # seconds for one program
# Run in the mounted directory, with a directory of files at $source and one at $place.
SCRIPTS: Mapping[str, str] = {
    "fio": """
        fio --name=v --filename=f --size=${mib}m --rw=randwrite --bs=64k --verify=crc32c \
            --verify_fatal=1 --ioengine=psync --fallocate=none --end_fsync=1
        fio --name=v --filename=f --size=${mib}m --rw=randrw --bs=64k --verify=crc32c \
            --verify_fatal=1 --ioengine=psync --fallocate=none --overwrite=1
    """,
    "dbench": "mkdir dbench; dbench -D dbench -t 60 2",
    "restic": """
        export RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$place/cache
        restic -q -r r init
        restic -q -r r backup $source; echo more >> $source/large
        restic -q -r r backup $source; restic -q -r r check --read-data
        restic -q -r r restore latest --target $place/restic
        diff -r $source $place/restic$source
        restic -q -r r forget --keep-last 1 --prune; restic -q -r r check --read-data
    """,
    "borg": """
        export BORG_PASSPHRASE=x BORG_BASE_DIR=$place/borg
        borg init -e repokey b
        borg create b::one $source; echo more >> $source/large; borg create b::two $source
        borg check --verify-data b; repository=$PWD/b
        mkdir $place/extracted; cd $place/extracted; borg extract $repository::two
        diff -r $source $place/extracted$source; cd $(dirname $repository)
        borg delete b::one; borg compact b; borg check --verify-data b
    """,
    "git": """
        git init -q g; cd g; git config user.email a@b; git config user.name a
        for number in 1 2 3 4 5 6 7 8; do
            cp -r $source/. .; head -c 100000 /dev/urandom > new$number
            git add .; git commit -qm $number
        done
        git gc -q; git fsck --strict; cd ..; git clone -q --no-hardlinks g h; cd h
        git fsck --strict; test -z "$(git status --short)"; cmp $source/large large
    """,
    "lftp": """
        cd $place
        lftp -c "set sftp:auto-confirm yes; set sftp:connect-program 'ssh -a -x $options';
            open -u $name,x sftp://127.0.0.1:$port; mirror -R $source l; mirror l back;
            put $source/large; put -c $source/large; rm -r l; bye"
        diff -r $source back
    """,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--only", default=",".join(SCRIPTS))
    options = parser.parse_args()
    need_mounts()
    rows = []
    for program in options.only.split(","):
        if shutil.which(program) is None:
            print(f"{program} is not installed", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            made = GridProcess.create(
                place / "node", needed=2, happy=2, total=3, storage_dirs=3, config=CONFIG
            )
            with running(made) as node:
                account = new_account(node, place, "alice")
                rows.append(_run(program, place, account, options.mib))
                if "Traceback" in node.log():
                    rows[-1]["result"] = "a traceback in the log"
    report("sftp_programs", rows)
    raise SystemExit(any(row["result"] != "as on a disk" for row in rows))


def _run(program: str, place: Path, account: Account, mib: int) -> dict[str, object]:
    source = place / "source"
    shutil.copytree(Path(__file__).parents[2] / "src" / "truckee" / "codec", source)
    (source / "large").write_bytes(Path(sys.executable).resolve().read_bytes())
    values = {
        "source": source,
        "place": place,
        "mib": mib,
        "options": " ".join(f"-o {each}" for each in account.options),
        "name": account.name,
        "port": account.port,
    }
    head = "".join(f"{name}='{value}'\n" for name, value in values.items())
    started, result = time.perf_counter(), "as on a disk"
    with sshfs(account) as mounted:
        try:
            script = ["bash", "-euc", head + SCRIPTS[program]]
            done(script, seconds=TIME, cwd=mounted)
        except AssertionError as error:
            print(error, file=sys.stderr)
            result = "failed"
    return {
        "program": program,
        "result": result,
        "seconds": time.perf_counter() - started,
    }


if __name__ == "__main__":
    main()
