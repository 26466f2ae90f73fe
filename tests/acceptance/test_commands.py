"""Commands: whatever a program does, its cell is told as a function's is, and nothing of it is left."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gridrun.signals import ECHO_S
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.test_hostile import call
from tests.acceptance.test_kills import SHORT_S, wait_until, wait_until_alone

# Every process of a cell that is to end with it notes its number.
PROGRAM = r"""
import json, os, signal, subprocess, sys, time

mode, epochs = sys.argv[1], int(sys.argv[2])
own = os.path.dirname(os.path.abspath(__file__))


def note(word):
    with open(os.path.join(own, "ledger"), "a") as file:
        file.write(f"{word} {mode} {os.getpid()}\n")


def tell(count):
    for epoch in range(count):
        print(json.dumps({"acc": epoch + 1, "loss": 1 / (epoch + 1)}), flush=True)


def sleep():
    note("sleeps")
    time.sleep(600)
    os._exit(0)


def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            sleep()
        os._exit(0)
    os.wait()


note("start")
print("a line of the log")
if mode in ("ok", "noted", "env"):
    tell(epochs)
if mode == "noted":
    assert os.getcwd() == own, os.getcwd()
    assert sys.stdin.read() == ""
if mode == "exit":
    tell(1)
    print("warming up", file=sys.stderr)
    print("bad luck\n", file=sys.stderr)
    sys.exit(3)
if mode == "raise":
    raise ValueError("bad luck")
if mode in ("kill", "segv", "realtime", "usr1"):
    print("last words", file=sys.stderr, flush=True)
    number = {"kill": 9, "segv": signal.SIGSEGV, "realtime": 40, "usr1": signal.SIGUSR1}[mode]
    os.kill(os.getpid(), number)
if mode == "none":
    print("no metrics here", file=sys.stderr)
if mode == "fewer":
    tell(1)
if mode == "more":
    tell(10**9)
if mode == "diverges":
    print('{"acc": NaN}\n' * epochs)
if mode == "input":
    tell(epochs)
    input()
if mode == "unfinished":
    tell(epochs - 1)
    print('{"acc": 7}', end="")
if mode == "bytes":
    os.write(1, b"\xff\xfe not UTF-8 \x00\n" * 3)
    os.write(2, b"\xff\xfe not UTF-8\n")
    tell(epochs)
if mode == "flood":
    line = b"x" * 99 + b"\n"
    for _ in range(300):
        os.write(1, line * 1000)
    tell(epochs)
if mode == "long":
    for _ in range(500):
        os.write(1, b"x" * 1_000_000)
    print()
    tell(epochs)
if mode == "closes":
    tell(epochs)
    os.close(1)
    time.sleep(0.3)
    note("went on")
if mode == "forks":
    tell(epochs)
    if os.fork() == 0:
        sleep()
    time.sleep(0.1)
if mode == "daemon":
    tell(epochs)
    daemon()
    time.sleep(0.1)
if mode == "many":
    tell(epochs)
    for _ in range(20):
        daemon()
if mode == "child":
    subprocess.run([sys.executable, "-c", f"print('{{\"acc\": 1}}\\n' * {epochs})"], check=True)
if mode == "hang":
    daemon()
    sleep()
if mode == "stubborn":
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
    sleep()
if mode == "wait":
    tell(1)
    while not os.path.exists(os.path.join(own, "go")):
        time.sleep(0.02)
    tell(epochs - 1)
note("end")
"""
HEAD = f"""
[sweep]
name = "c"
command = ["{sys.executable}", "program.py", "{{mode}}", "{{epochs}}"]
metric = "acc"
budget = "epochs"
"""
RUN = "\n[run]\njobs = 2\ntimeout_s = 2\nmax_attempts = 2\n"


@pytest.fixture(autouse=True)
def _program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)


def write(folder: Path, modes: list[str], more: str = RUN, epochs: str = "[1, 3]") -> None:
    (folder / "g.toml").write_text(f"{HEAD}[grid]\nmode = {modes}\nepochs = {epochs}\n{more}")


def ledger(folder: Path, word: str) -> list[tuple[str, int]]:
    """Who has noted that."""
    file = folder / "ledger"
    lines = [line.rsplit(" ", 2) for line in file.read_text().splitlines()] if file.exists() else []
    return [(mode, int(process)) for found, mode, process in lines if found == word]


def alive(folder: Path) -> list[int]:
    """The processes that have noted anything and still run."""
    numbers = {process for word in ("start", "sleeps") for _, process in ledger(folder, word)}
    found = []
    for number in numbers:
        with contextlib.suppress(psutil.Error):
            if psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
                found.append(number)
    return found


def outcomes(directory: Path) -> dict[str, tuple[int, str]]:
    """By mode: the epochs that were kept, and why it failed, if it did."""
    with Store.read(directory) as store:
        grid, known, failures = (
            Spec.parse(store.grid_text(), "").grid,
            store.progress(),
            dict(store.failures()),
        )
        names = list(grid.trajectory_ids(store.identity()))
    return {
        str(grid.trajectory_params(index)["mode"]): (
            known[name].epochs if name in known else 0, failures[name].reason if name in failures else ""
        )
        for index, name in enumerate(names)
    }  # fmt: skip


def begin(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [GRIDRUN, "sweep", "g.toml"], cwd=folder, start_new_session=True, stderr=subprocess.PIPE, text=True
    )


def drain(sweep: "subprocess.Popen[str]", number: int) -> None:
    """Send a signal, and wait until the sweep knows of it."""
    sweep.send_signal(number)
    assert sweep.stderr is not None
    while "finishing the cells in flight" not in sweep.stderr.readline():
        assert sweep.poll() is None


WELL = ["noted", "more", "diverges", "unfinished", "bytes", "closes", "forks", "daemon", "many", "child"]
ILL = {
    "exit": (1, "exit status 3: bad luck"),
    "raise": (0, "exit status 1: ValueError: bad luck"),
    "kill": (0, "its worker died 2 times, last by SIGKILL"),
    "segv": (0, "its worker died 2 times, last by SIGSEGV"),
    "usr1": (0, "its worker died 2 times, last by SIGUSR1"),
    "realtime": (0, "its worker died 2 times, last by signal 40"),
    "none": (0, "told no metrics, as no line of its stdout is a JSON object: no metrics here"),
    "hang": (0, "timed out after 2 s"),
    "stubborn": (0, "timed out after 2 s"),
    "input": (3, "exit status 1: EOFError: EOF when reading a line"),
}


@pytest.mark.slow
def test_whatever_a_program_does_is_told_as_of_a_function_and_nothing_of_it_is_left(
    run: Run, tmp_path: Path
) -> None:
    modes = [*WELL, "fewer", *ILL]
    write(tmp_path, modes)
    result = run("sweep", "g.toml", "--max-failures", "100")
    assert result.returncode == 1, result.stderr
    assert "a line of the log" not in result.stdout
    assert not alive(tmp_path)
    found = outcomes(tmp_path / "results/c")
    expected = dict.fromkeys(WELL, (3, "")) | {"fewer": (1, "")} | ILL
    assert found == expected
    assert len(ledger(tmp_path, "start")) == len(modes) + 4  # who died is tried again
    assert ledger(tmp_path, "went on")
    wait_until_alone(tmp_path)
    for cell, words in (("mode=kill,epochs=1", "last words"), ("mode=exit,epochs=3", "warming up")):
        assert words in call("show", cell, str(tmp_path / "results/c"))[1]


@pytest.mark.slow
def test_floods_are_read_in_bounded_memory(tmp_path: Path) -> None:
    """30 MB of lines, and one line of 500 MB."""
    write(tmp_path, ["flood", "long"], "")
    # By a small process: a child's greatest size is never told as less than that of who forked it.
    script = (
        "import os, subprocess, sys; sweep = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL);"
        " _, sweep.returncode, usage = os.wait4(sweep.pid, 0); print(sweep.returncode, usage.ru_maxrss)"
    )
    words = [sys.executable, "-S", "-c", script, GRIDRUN, "sweep", "g.toml", "--backend", "sequential"]
    told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    status, kilobytes = map(int, told.stdout.split())
    assert status == 0
    assert outcomes(tmp_path / "results/c") == {"flood": (3, ""), "long": (3, "")}
    assert kilobytes * 1024 < 400_000_000


def test_epochs_come_as_they_are_told(tmp_path: Path) -> None:
    write(tmp_path, ["wait"])
    with subprocess.Popen(
        [GRIDRUN, "try", "g.toml", "epochs=3"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as tried:
        assert tried.stdout is not None
        lines = [tried.stdout.readline() for _ in range(3)]
        assert lines[:2] == ["c: mode wait, epochs 3\n", "a line of the log\n"]
        assert lines[2].startswith("epoch 1: acc 1, loss 1 (")
        (tmp_path / "go").touch()
        rest = tried.stdout.read()
    assert tried.returncode == 0
    assert "epoch 3: acc 2, loss 0.5 (" in rest
    assert rest.endswith("nothing was kept\n")


@pytest.mark.parametrize("what", ["group", "twice"])
def test_a_program_ends_with_its_sweep_however_that_ends(tmp_path: Path, what: str) -> None:
    write(tmp_path, ["stubborn", "hang"], "[run]\njobs = 2\n")
    sweep = begin(tmp_path)
    wait_until(lambda: len(ledger(tmp_path, "sleeps")) == 4)
    assert len(alive(tmp_path)) == 4
    if what == "twice":
        drain(sweep, signal.SIGINT)
        time.sleep(ECHO_S + 0.2)
        assert sweep.poll() is None
        assert len(alive(tmp_path)) == 4
        sweep.send_signal(signal.SIGINT)
    else:
        os.killpg(sweep.pid, signal.SIGKILL)
    sweep.communicate(timeout=SHORT_S)
    wait_until(lambda: not alive(tmp_path), SHORT_S)
    wait_until_alone(tmp_path)


def test_ctrl_c_lets_programs_finish(run: Run, tmp_path: Path) -> None:
    write(tmp_path, ["wait", "ok"], "[run]\njobs = 1\n")
    sweep = begin(tmp_path)
    wait_until(lambda: len(ledger(tmp_path, "start")) == 1)
    drain(sweep, signal.SIGINT)
    (tmp_path / "go").touch()
    sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert outcomes(tmp_path / "results/c") == {"wait": (3, ""), "ok": (0, "")}
    assert run("sweep", "g.toml").returncode == 0
    assert len(ledger(tmp_path, "start")) == 2


@pytest.mark.parametrize("what", ["keeper", "program"])
def test_a_keeper_or_a_program_that_somebody_ends_costs_only_what_it_was_at(
    tmp_path: Path, what: str
) -> None:
    write(tmp_path, ["wait", "ok"], "[run]\njobs = 1\n")
    sweep = begin(tmp_path)
    wait_until(lambda: len(ledger(tmp_path, "start")) == 1)
    ((_, number),) = ledger(tmp_path, "start")
    program = psutil.Process(number)
    (program.parent() if what == "keeper" else program).kill()
    wait_until(lambda: len(ledger(tmp_path, "start")) == 2)
    wait_until(lambda: number not in alive(tmp_path), SHORT_S)
    (tmp_path / "go").touch()
    sweep.communicate(timeout=60)
    assert sweep.returncode == 0
    assert outcomes(tmp_path / "results/c") == {"wait": (3, ""), "ok": (3, "")}


def test_a_signal_that_all_processes_of_a_job_are_sent_fails_no_cell(run: Run, tmp_path: Path) -> None:
    """As `scancel` and a scheduler's end of time do: programs end by it, and their cells are left to run."""
    write(tmp_path, ["wait", "ok"], "[run]\njobs = 1\n")
    sweep = begin(tmp_path)
    wait_until(lambda: len(ledger(tmp_path, "start")) == 1)
    everybody = psutil.Process(sweep.pid).children(recursive=True)
    drain(sweep, signal.SIGTERM)
    for process in everybody:
        process.terminate()
    sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    (tmp_path / "go").touch()
    assert run("sweep", "g.toml").returncode == 0
    assert outcomes(tmp_path / "results/c") == {"wait": (3, ""), "ok": (3, "")}


def test_edited_files_make_other_cells_and_it_is_said(run: Run, tmp_path: Path) -> None:
    write(tmp_path, ["ok"])
    assert run("sweep", "g.toml").returncode == 0
    again = run("sweep", "g.toml")
    assert "2 cached, 0 new" in again.stdout
    assert "changed" not in again.stderr
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("epoch + 1, ", "epoch + 2, "))
    edited = run("sweep", "g.toml")
    assert "0 cached, 2 new" in edited.stdout
    assert (
        "gridrun: program.py changed since the last sweep here: its cells are others now and run anew;"
        " what was run before is kept\n"
    ) in edited.stderr
    program.write_text(PROGRAM)
    assert "2 cached, 0 new" in run("sweep", "g.toml").stdout


def test_files_that_are_edited_while_a_sweep_runs_are_told_once_and_kept_apart(
    run: Run, tmp_path: Path
) -> None:
    edit = "\nif mode == 'ok':\n    open(__file__, 'a').write('#')\n"
    (tmp_path / "program.py").write_text(PROGRAM + edit)
    write(tmp_path, ["ok", "noted", "fewer"], "[run]\njobs = 1\n")
    result = run("sweep", "g.toml")
    assert result.returncode == 0
    assert result.stderr.count("have changed since the sweep began") == 1
    with Store.read(tmp_path / "results/c") as store:
        assert len(store.code_versions()) == 2


def test_a_program_may_write_metrics_into_a_file_of_its_own(run: Run, tmp_path: Path) -> None:
    """Its rows are epochs as they come; what an interrupted run has left there is none."""
    (tmp_path / "own.sh").write_text(
        'echo "{\\"acc\\": 9}"\nfor epoch in $(seq "$1"); do\n'
        '  [ "$epoch" -gt 1 ] || echo "epoch,acc" >> "$2/m.csv"\n  echo "$epoch,0.$epoch" >> "$2/m.csv"\n'
        "  [ -e mended ] || kill -9 $$\ndone\n"
    )
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "c"\ncommand = ["sh", "own.sh", "{epochs}", "{output_dir}"]\nmetric = "acc"\n'
        'budget = "epochs"\nmetrics_file = "{output_dir}/m.csv"\n[grid]\nepochs = [1, 3]\n'
    )
    assert run("sweep", "g.toml").returncode == 1
    (tmp_path / "mended").touch()
    mended = run("sweep", "g.toml", "--retry-failed")
    assert mended.returncode == 0, mended.stderr
    with Store.read(tmp_path / "results/c") as store:
        ((_, history),) = store.histories()
    assert [metrics["acc"] for metrics in history.metrics] == [0.1, 0.2, 0.3]


def test_a_program_that_asks_from_which_epoch_goes_on_there(run: Run, tmp_path: Path) -> None:
    """From its own checkpoint: after a failure, with a wider budget, and with nothing left to do there."""
    (tmp_path / "sum.sh").write_text(
        """echo "$2" >> asked
sum=$(cat "$3/sum" || echo 0)
[ "$1" -lt 8 ] || exit 0
for epoch in $(seq $(($2 + 1)) "$1"); do
  sum=$((sum + epoch)); echo $sum > "$3/sum"; echo "{\\"sum\\": $sum}"
  [ -e mended ] || [ "$epoch" -lt 2 ] || exit 1
done
"""
    )

    def sweep(epochs: str, *options: str) -> tuple[int, list[float]]:
        (tmp_path / "g.toml").write_text(
            '[sweep]\nname = "c"\nmetric = "sum"\nbudget = "epochs"\n'
            'command = ["sh", "sum.sh", "{epochs}", "{resume_from}", "{output_dir}"]\n'
            f"[grid]\nepochs = {epochs}\n"
        )
        code = run("sweep", "g.toml", *options).returncode
        with Store.read(tmp_path / "results/c") as store:
            ((_, history),) = store.histories()
        return code, [metrics["sum"] for metrics in history.metrics]

    assert sweep("[1, 4]") == (1, [1, 3])
    (tmp_path / "mended").touch()
    assert sweep("[1, 4]", "--retry-failed") == (0, [1, 3, 6, 10])
    assert sweep("[1, 4, 6]") == (0, [1, 3, 6, 10, 15, 21])
    assert sweep("[1, 8]") == (0, [1, 3, 6, 10, 15, 21])  # it ends by itself: stopped early
    assert (tmp_path / "asked").read_text().split() == ["0", "2", "4", "6"]


def test_a_program_runs_beside_grid_toml_wherever_gridrun_was_started(run: Run, tmp_path: Path) -> None:
    study = tmp_path / "a study"
    study.mkdir()
    (study / "here.sh").write_text('#!/bin/sh\necho "$(pwd) $GRIDRUN_TRAJECTORY a=$1"\n')
    (study / "here.sh").chmod(0o755)
    (study / "g.toml").write_text(
        '[sweep]\nname = "c"\ncommand = ["./here.sh", "{a}"]\nmetric = "a"\n'
        f"""pattern = '^{study} [0-9a-f]{{16}} a=(?P<a>.)'\n[grid]\na = [7]\n"""
    )
    tried = run("try", "a study/g.toml")
    assert "epoch 1: a 7 (" in tried.stdout, tried.stderr


def test_a_pattern_reads_what_people_print(run: Run, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "c"\ncommand = ["printf", "epoch 1 acc=%s\\\\nbye\\\\nacc=nan", "{lr}"]\n'
        """metric = "acc"\npattern = 'acc=(?P<acc>\\S+)'\n[grid]\nlr = [0.1, 1e-5]\n"""
    )
    tried = run("try", "g.toml", "lr=1e-5")
    lines = [line.partition(" (")[0] for line in tried.stdout.splitlines()]
    assert lines[1:4] == ["epoch 1: acc 1e-05", "bye", "epoch 2: acc nan"]
