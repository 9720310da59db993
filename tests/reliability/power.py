#!/usr/bin/env python3
"""Cut the power everywhere, and look at what is left.

    power.py [--ranks 2] [--case short|long|adapt] [--every 1] [--ways forced,names] [--jobs 2] [--seconds 60]

The system calls of a run are recorded, with strace, and played into a model of a disk, on which is what was forced to
it with fsync and, of what is under way, some or nothing: WAYS. The power may fail after every call. What is then on the
disk is written out, checked as kills.py does it, continued, and compared with the run that nothing happened to. By hand
(`test_power.py` tries a part of it). In the environment: FRX_PROGRAM, the program, and FRX_MPIEXEC."""

import argparse
import collections
import hashlib
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from kills import CASES, Lab, can_trace, committed, in_processes, small_config
from run_files import state

# What a disk has besides what was forced to it. File systems with a journal keep the order in which names and sizes
# changed, not that of data.
WAYS = {
    "all": "everything, as after kill -9",
    "forced": "nothing",
    "names": "all changes of names and sizes, with zeros for data",
    "data": "all data, but no change of a name",
    "some": "changes of names and sizes up to some moment, and any pages of the data",
}
PAGE = 4096


class File:
    """The content as programs see it, as it is on the disk, and what happened in between."""

    def __init__(self):
        self.now, self.forced, self.pending = bytearray(), b"", []

    def write(self, offset, data):
        self.change(offset, bytes(data), max(len(self.now), offset + len(data)))

    def resize(self, size):
        self.change(0, b"", size)

    def change(self, *change):
        apply_change(self.now, *change)
        self.pending.append(change)

    def force(self):
        self.forced, self.pending = bytes(self.now), []

    def left(self, way, lot):
        content = bytearray(self.forced)
        n_size, share = lot.randint(0, len(self.pending)), lot.choice((0.1, 0.5, 0.9))
        for k, (offset, data, size) in enumerate(self.pending):
            if way in ("all", "data"):
                apply_change(content, offset, data, size)
            elif way == "names":
                apply_change(content, 0, b"", size)
            elif way == "some":
                if k < n_size:
                    apply_change(content, 0, b"", size)
                for at, page in pages(offset, data):
                    if at + len(page) <= len(content) and lot.random() < share:
                        content[at : at + len(page)] = page
        return bytes(content)


def apply_change(content, offset, data, size):
    content.extend(bytes(max(0, size - len(content))))
    del content[size:]
    content[offset : offset + len(data)] = data


def pages(offset, data):
    while data:
        n = PAGE - offset % PAGE
        yield offset, data[:n]
        offset, data = offset + n, data[n:]


def apply_name(names, kind, name, what):
    if kind == "create":
        names[name] = what
    elif kind == "link":
        names[what] = names[name]
    elif kind == "rename":
        names[what] = names.pop(name)
    else:
        del names[name]


class Disk:
    """A folder that a run makes and fills: names of files, {name: File}, as programs see them, as they are on the disk,
    and what happened in between."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.now, self.forced, self.pending = {}, {}, []
        self.made = self.made_forced = False
        self.promised = (
            (0, 0),
            -1,
        )  # rows (frames, events), step of the checkpoint: what a program could rely on

    def name(self, path):
        directory, name = os.path.split(path)
        return name if directory == self.folder else None

    def rename(self, kind, name, what=None):
        apply_name(self.now, kind, name, what)
        self.pending.append((kind, name, what))

    def play(self, call, arguments):
        """Returns whether the call had to do with the folder."""
        first, *more = arguments
        if first == os.path.dirname(self.folder):
            self.made_forced |= self.made and call == "fsync"
        elif first == self.folder:
            self.play_folder(call)
        elif self.name(first):
            self.play_file(call, self.name(first), *more)
        else:
            return False
        return call != "openat" or bool(re.search("O_WRONLY|O_RDWR", more[0]))

    def play_folder(self, call):
        assert call in ("mkdir", "fsync", "openat"), call
        self.made |= call == "mkdir"
        if call == "fsync":
            self.forced, self.pending = dict(self.now), []
            self.promised = self.promise()

    def play_file(self, call, name, *more):
        if call == "openat":
            if name not in self.now and "O_CREAT" in more[0]:
                self.rename("create", name, File())
            elif "O_TRUNC" in more[0]:
                self.now[name].resize(0)
        elif call in ("rename", "link"):
            assert self.name(more[0]), more
            self.rename(call, name, self.name(more[0]))
        elif call == "unlink":
            self.rename(call, name)
        elif call == "fsync":
            self.now[name].force()
        elif call == "write":  # from front to end, which is how those files are written that are not HDF5's
            self.now[name].write(len(self.now[name].now), more[0])
        elif call == "pwrite64":
            self.now[name].write(more[1], more[0])
        elif call == "ftruncate":
            self.now[name].resize(more[0])
        elif call == "fallocate":
            self.now[name].resize(max(len(self.now[name].now), more[0]))
        else:
            raise AssertionError(f"{call} is not understood here")

    def promise(self):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "promised"
            write_out({k: v.now for k, v in self.now.items() if k in ("journal", "checkpoint")}, place)
            return total_rows(place), newest_step(place)

    def left(self, way, lot):
        """{name: content} when the power is back, or None: there is no folder."""
        if not (self.made_forced if way in ("forced", "data") else self.made):
            return None
        names = dict(self.forced)
        n_change = {"forced": 0, "data": 0, "some": lot.randint(0, len(self.pending))}
        for change in self.pending[: n_change.get(way)]:
            apply_name(names, *change)
        return {name: file.left(way, lot) for name, file in names.items()}


def write_out(files, folder):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def total_rows(folder):
    return tuple(map(sum, zip(*committed(folder)))) or (0, 0)


def newest_step(folder):
    """Of the checkpoints that are not damaged; -1: there is none."""
    step = -1
    for path in folder.glob("checkpoint*"):
        data = path.read_bytes()
        if path.suffix != ".tmp" and hashlib.sha256(data[:-64]).hexdigest().encode() == data[-64:]:
            step = max(step, int.from_bytes(state(folder, path.name)["counts"][:8], "little"))
    return step


# ---- the calls of a run ----

UNDERSTOOD = [
    "openat",
    "write",
    "pwrite64",
    "ftruncate",
    "fallocate",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "fsync",
]
# Others that change files: to be noticed if the program makes them one day.
OTHERS = [
    "writev", "pwritev", "pwritev2", "truncate", "renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "rmdir",
    "fdatasync", "sync_file_range", "copy_file_range", "sendfile", "symlink",
]  # fmt: skip


def record(lab, name):
    """The calls of all ranks of a run into the folder `name`, in their order: [(call, arguments), ..]."""
    words = ["strace", "-ttt", "-y", "-xx", "-s", "100000000", "-e", "trace=" + ",".join(UNDERSTOOD + OTHERS)]
    trace = "exec " + " ".join(words) + ' -o "trace_${OMPI_COMM_WORLD_RANK:-0}" "$@"'
    result = lab.run(name, around=["sh", "-c", trace, "sh"])
    assert result.returncode == 0, result.stderr
    lines = [
        line for rank in range(lab.ranks) for line in (lab.folder / f"trace_{rank}").read_text().splitlines()
    ]
    calls = [read_call(line, lab.folder) for line in sorted(lines, key=lambda line: line.split()[0])]
    return [call for call in calls if call]


def read_call(line, folder):
    """(call, [path, more ..]) of a call that succeeded."""
    match = re.fullmatch(r"[\d.]+ (\w+)\((.*)\)\s+= (\d+).*", line)
    if not match:
        return None
    call, result = match[1], int(match[3])
    words = [read_word(word) for word in re.findall(r'"[^"]*"|[^\s,<]+<[^>]*>|[^\s,]+', match[2])]
    if call == "openat":
        words = words[1:3]
    elif call == "fallocate":
        assert words[1] == "0", line
        words = [words[0], int(words[2]) + int(words[3])]
    elif call == "write":
        words = [words[0], words[1][:result]]
    elif call == "pwrite64":
        words = [words[0], words[1][:result], int(words[3])]
    elif call == "ftruncate":
        words = [words[0], int(words[1])]
    for k in range(2 if call in ("rename", "link") else 1):
        words[k] = os.path.normpath(folder / os.fsdecode(words[k]))
    return call, words


def read_word(word):
    """Strings and the paths of descriptors as bytes."""
    if word[0] == '"':
        return bytes.fromhex(word[1:-1].replace("\\x", ""))
    if word[-1] == ">":
        return bytes.fromhex(word[word.index("<") + 1 : -1].replace("\\x", ""))
    return word


# ---- power failures ----


def find_points(calls, folder, ways, every):
    """[(number of calls, way)]: after which the disk is as it was not before, of one in `every` calls."""
    disk, seen, points, n_change = Disk(folder), set(), [], 0
    for n, (call, arguments) in enumerate(calls, 1):
        n_change += disk.play(call, arguments)
        if n_change % every != 0:
            continue
        for way in ways:
            left = disk.left(way, random.Random(n))
            found = repr((disk.promised, left and sorted(left.items()))).encode()
            if (digest := hashlib.sha256(found).digest()) not in seen:
                points.append((n, way))
            seen.add(digest)
    return points


def fail_after(lab, calls, n, way):
    """The power fails after n calls; the run is checked, continued and checked again."""
    disk = Disk(lab.folder / "recorded")
    for call, arguments in calls[:n]:
        disk.play(call, arguments)
    name = f"{way}_{n}"
    files = disk.left(way, random.Random(n))
    if files is not None:
        write_out(files, lab.folder / name)
    check_promises(lab.folder / name, disk)
    if files is not None:
        lab.check(name)
    lab.finish(name, ranks=random.Random(n).choice((1, lab.ranks)))


def check_promises(folder, disk):
    rows, step = total_rows(folder), newest_step(folder)
    assert rows >= disk.promised[0] and step >= disk.promised[1], (rows, step, disk.promised)


def check_all(lab, calls, ways, lot):
    """After every call that changes a segment, but without continuing: all committed rows are readable. Returns the
    number of states."""
    disk, n_state, folder = Disk(lab.folder / "recorded"), 0, lab.folder / "state"
    for call, arguments in calls:
        if not disk.play(call, arguments) or not any(
            file.pending and name.startswith("segment_") for name, file in disk.now.items()
        ):
            continue
        for way in ways:
            shutil.rmtree(folder, ignore_errors=True)
            if (files := disk.left(way, lot)) is not None:
                write_out(files, folder)
            check_promises(folder, disk)
            lab.check_rows(folder)
            n_state += 1
    return n_state


def try_point(lab, calls, n, way):
    try:
        fail_after(lab, calls, n, way)
    except Exception:
        return traceback.format_exc()
    return None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--case", choices=CASES, default="short")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="try no more after that")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if why := can_trace():
        sys.exit(why)
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder, small_config(folder, options.case), options.ranks)
        calls, start = record(lab, "recorded"), time.monotonic()
        points = find_points(calls, lab.folder / "recorded", options.ways.split(","), options.every)
        random.Random(1).shuffle(points)
        print(f"{len(calls)} calls, {len(points)} different states of the disk", flush=True)
        tasks = ((lab, calls, *point) for point in points if time.monotonic() - start < options.seconds)
        found = collections.Counter()
        for (_, _, n, way), why in in_processes(options.jobs, try_point, tasks):
            found[way, "FAILED" if why else "equal"] += 1
            if why:
                print(f"after {n} calls, {way}: {calls[n - 1][0]} {calls[n - 1][1][0]}\n{why}", flush=True)
            elif found.total() % 20 == 0:
                print(f"{found.total()} points, {time.monotonic() - start:.0f} s", flush=True)
    for (way, what), n in sorted(found.items()):
        print(f"{way:7} {n:4} {what}")
    sys.exit(any(what == "FAILED" for _, what in found))


if __name__ == "__main__":
    main()
