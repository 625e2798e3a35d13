"""Give every reader bent files for as long as you like: python tests/fuzz.py --minutes 30.

Prints how many cases each reader had, and each new way to break the promise with its seed: a reader
gives a value or a ``UserError`` of one printable line that names the file. Exits with 1 where it
was broken. Batches run in processes of their own, with bounded memory, as a library that crashes
would take all others with it.
"""

import argparse
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import dicom_maker
from fuzz_case import Reader, lay_out, quiet_libraries, try_case
from fuzz_readers import all_readers

MEMORY = 4 << 30  # bytes above what the process has to begin with
SECONDS = 20  # of the processor's time for a case, and six times as many on the clock


def main() -> int:
    """Fuzz, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--slice", type=float, default=4, help="seconds a reader, in turn")
    parser.add_argument("--only", default="", help="names of readers that contain this")
    given = parser.parse_args()
    quiet_libraries()
    end, counts, seed = time.monotonic() + 60 * given.minutes, Counter[str](), given.seed << 20
    faults: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as work:
        readers = all_readers(dicom_maker, Path(work))
        readers = {name: each for name, each in readers.items() if given.only in name}
        for name, reader in readers.items():  # what is valid is read, and libraries are loaded
            lay_out(reader, Path(work) / f"valid {name}")
            reader.read(Path(work) / f"valid {name}")
        while time.monotonic() < end:
            for name, reader in readers.items():
                if time.monotonic() < end:
                    count, found = _batch(reader, seed, given.slice, Path(work))
                    counts[name] += count
                    _tell(name, found, faults)
            seed += 1 << 16
    for name in readers:
        print(f"{counts[name]:9,} {name}")
    print(f"{counts.total():9,} cases, {len(faults)} kinds of failures", flush=True)
    return 1 if faults else 0


def _tell(name: str, found: list[str], faults: dict[str, str]) -> None:
    """Print failures of a kind that was not seen before."""
    for line in found:
        seed, _, fault = line.partition(" ")
        kind = name + re.sub(r"[0-9]+|'.*'", "", fault)[:90]
        if kind not in faults:
            faults[kind] = fault
            print(f"FAILED {name}, seed {seed}: {fault}", flush=True)


def _batch(reader: Reader, seed: int, seconds: float, work: Path) -> tuple[int, list[str]]:
    """How many seeds were tried, and their failures, each in a line "seed fault"."""
    notes = work / "notes.txt"
    notes.write_text("")
    child = os.fork()
    if child == 0:
        try:
            _run(reader, seed, seconds, work, notes)
        except BaseException:  # told by the status; what is above here is the parent's
            traceback.print_exc(file=notes.with_name("fuzz.log").open("a"))
            os._exit(1)
    _, status = os.waitpid(child, 0)
    lines = notes.read_text(errors="replace").split("\n")[:-1]
    begun = [line for line in lines if line.endswith(" begun")]
    failed = [line for line in lines if not line.endswith(" begun")]
    if status:
        failed.append(f"{begun[-1].split()[0]} the process ended with status {status}")
    return len(begun), failed


def _run(reader: Reader, seed: int, seconds: float, work: Path, notes: Path) -> None:
    """Try seed after seed for some seconds, in a process that ends here."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    signal.signal(signal.SIGALRM, _endless)
    signal.signal(signal.SIGPROF, _endless)
    with tempfile.TemporaryDirectory(dir=work) as folder, notes.open("a") as file:
        lay_out(reader, Path(folder))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            file.write(f"{seed} begun\n")
            file.flush()
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(6 * SECONDS)
            fault = try_case(reader, Path(folder), seed)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            if fault:
                file.write(
                    f"{seed} {fault.encode(errors='replace').decode()!s}\n".replace("\r", " ")
                )
                file.flush()
            seed += 1
        os._exit(0)


def _endless(*_: object) -> None:
    raise SystemExit("endless")


if __name__ == "__main__":
    sys.exit(main())
