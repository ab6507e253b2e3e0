"""What `octoqueue simulate` answers, refuses and fails on."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from octoqueue.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

SECTION = """
max: 50
start_up: 30s
service: 10s
objectives:
  all: {within: 5s}
"""
CONFIGURATION = """
fleets:
  coder:
    queues: [coder]
    modules: [arms.coder]
    concurrency: 1
    scaling: {max: 40, depth: 2, service: 10s, caps: {cost_per_worker_hour: 2}}
  judge:
    queues: [judge]
    modules: [arms.judge]
    concurrency: 4
    scaling: {max: 40, depth: 3}
  plain:
    queues: [plain]
    modules: [arms.plain]
"""


@dataclass
class Program:
    """The program in a folder with a trace and policies, as a shell sees it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["simulate", *words])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def told(self, *words: str) -> dict[str, Any]:
        code, out, err = self.run("--json", *words)
        assert (code, err) == (0, "")
        document: dict[str, Any] = orjson.loads(out)
        return document


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    counts = [6 * (2 + minute % 5) for minute in range(40)]
    lines = [f"2026-03-02 10:{minute:02}:00,{count}" for minute, count in enumerate(counts)]
    (tmp_path / "trace.csv").write_text("\n".join(["period,count", *lines]) + "\n")
    (tmp_path / "requests.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        + "".join(f"2026-03-02 10:00:{second:02},1000,100\n" for second in range(60))
    )
    (tmp_path / "recording.jsonl").write_text(
        '{"recording": 1, "starts_at_ms": 0}\n'
        '{"at_ms": 60000, "seconds": 60, "arrivals": {"normal": 9}}\n'
    )
    (tmp_path / "week.csv.gz").write_bytes(gzip.compress(b"period,count\n"))
    (tmp_path / "new.yaml").write_text(SECTION)
    (tmp_path / "octoqueue.yaml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    return Program(tmp_path, capsys)


TRACE = ("--trace", "trace.csv")
NEW = (*TRACE, "--policy", "new.yaml")


def test_a_policy_is_shown_beside_another_with_the_difference_in_words(program: Program) -> None:
    code, out, err = program.run(*NEW, "--against", "static=9", "--decisions", "2")
    assert (code, err) == (0, "")
    assert "trace.csv: 0.7 h, messages of 10.0 s, a load of 4.00 workers on average" in out
    rows = [line.strip() for line in out.splitlines()]
    assert any(row.startswith("minutes met ") and row.count("%") == 2 for row in rows)
    assert any(row.startswith("worker-hours ") for row in rows)
    assert "new.yaml meets" in out
    assert "worker-hours than static 9." in out
    assert "simulated wants" in out


def test_a_machine_is_told_every_number(program: Program) -> None:
    told = program.told(*NEW, "--against", "depth=1", "--decisions", "1")
    first, second = told["rules"]
    assert (told["objective_seconds"], told["service_seconds"]) == (5, 10)
    assert (told["trace"], told["duration_seconds"]) == ("trace.csv", 2400)
    assert told["mean_load_workers"] == pytest.approx(4)
    assert first["rule"] == "new.yaml"
    assert second["rule"] == "depth 1 waiting and running"
    assert 0 <= first["attainment"] <= 1
    assert first["hours_ratio"] == pytest.approx(first["worker_hours"] / told["clairvoyant_hours"])
    assert first["messages"] == pytest.approx(sum(6 * (2 + each % 5) for each in range(40)))
    assert first["decisions"][0]["reason"].startswith("simulated wants")
    assert len(told["differences"]) == 1
    assert told["requirements_failed"] == []


def test_the_same_seed_gives_the_same_answer(program: Program) -> None:
    words = (*NEW, "--model", "messages", "--service-cv2", "4", "--failures", "2")
    assert program.told(*words) == program.told(*words)
    assert program.told(*words) != program.told(*words, "--seed", "1")


def test_a_mean_load_scales_messages_or_their_service_time(program: Program) -> None:
    scaled = program.told(*NEW, "--mean-load", "8", "--service", "20s")
    assert scaled["service_seconds"] == 20
    assert scaled["mean_load_workers"] == pytest.approx(8)
    stretched = program.told(*NEW, "--mean-load", "8")
    assert stretched["mean_load_workers"] == pytest.approx(8)
    assert stretched["service_seconds"] == pytest.approx(20)
    assert stretched["rules"][0]["messages"] == pytest.approx(
        2 * scaled["rules"][0]["messages"] / 2
    )


def test_single_requests_are_simulated_one_by_one_with_their_tokens(program: Program) -> None:
    told = program.told(
        "--trace",
        "requests.csv",
        "--policy",
        "static=3",
        "--generated-token",
        "10ms",
        "--context-token",
        "1ms",
    )
    assert told["service_seconds"] == pytest.approx(0.1 + 1 + 1)
    assert told["rules"][0]["messages"] == 60
    given = program.told(
        "--trace", "requests.csv", "--policy", "static=3", "--service", "1s", "--service-cv2", "0"
    )
    assert given["mean_load_workers"] == pytest.approx(1)


def test_a_fleet_of_a_configuration_is_named_or_the_only_one(program: Program) -> None:
    told = program.told(*TRACE, "--policy", "octoqueue.yaml", "--fleet", "coder")
    assert told["rules"][0]["cost"] == pytest.approx(2 * told["rules"][0]["worker_hours"])
    judged = program.told(
        *TRACE, "--policy", "octoqueue.yaml", "--fleet", "judge", "--service", "40s"
    )
    assert judged["mean_load_workers"] == pytest.approx(4)  # four slots a worker
    code, _, err = program.run(*TRACE, "--policy", "octoqueue.yaml")
    assert code == 2
    assert "which fleet? Name one with --fleet (there are: coder, judge)" in err
    code, _, err = program.run(*TRACE, "--policy", "octoqueue.yaml", "--fleet", "codr")
    assert code == 1
    assert "did you mean 'coder'?" in err


def test_what_is_compared_with_has_the_slots_of_the_policy(program: Program) -> None:
    told = program.told(
        *TRACE, "--policy", "octoqueue.yaml", "--fleet", "judge", "--service", "40s",
        "--against", "clairvoyant",
    )  # fmt: skip
    # It asks a start-up ahead and keeps what the minutes until then take: little more than 1x.
    assert 1 <= told["rules"][1]["hours_ratio"] < 1.4
    assert told["rules"][1]["attainment"] == 1


def test_a_requirement_that_is_not_kept_is_a_sentence_and_exit_code_3(program: Program) -> None:
    met = program.run(*NEW, "--require", "attainment>=1%", "--require", "worker-hours<=9x")
    assert (met[0], met[2]) == (0, "")
    code, out, err = program.run(
        *NEW, "--require", "attainment>=1%", "--require", "worker-hours<=0.1x"
    )
    assert code == 3
    assert "minutes met" in out
    assert err.startswith("octoqueue: new.yaml: worker-hours is ")
    assert "required is worker-hours<=0.1x" in err
    code, out, _ = program.run(*NEW, "--json", "--require", "wait-p99<=0ms", "--require", "cost<1")
    failed = orjson.loads(out)["requirements_failed"]
    assert code == (3 if failed else 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*NEW, "--require", "speed>1"], "--require: 'speed>1': no 'speed'"),
        ([*NEW, "--plot", "picture.gif"], "--plot: picture.gif must end in .png or .svg"),
        ([*NEW, "--plot", "nowhere/x.png"], "nowhere/x.png cannot be written: there is no nowhere"),
        ([*NEW, "--model", "solid"], "--model: 'solid' is neither fluid nor messages"),
        ([*NEW, "--outage", "soon"], "--outage: 'soon' is none; write e.g. 2h/5m"),
        ([*NEW, "--start-up", "soon"], "'soon' is no duration"),
        ([*NEW, "--sync", "0s"], "--sync: must be above 0"),
        ([*TRACE, "--policy", "max=3,1"], "'max=3,1' is no rule: max takes 3 numbers"),
        ([*TRACE, "--policy", "depth=nan"], "'depth=nan' is no rule: nan is no number"),
        ([*NEW, "--mean-load", "inf"], "'--mean-load': Input should be less than"),
        ([*NEW, "--service", "0s"], "--service: nothing tells how long a message runs"),
        (
            [*NEW, "--mean-load", "999999", "--service", "1ms", "--model", "messages"],
            "messages are too many one by one",
        ),
        ([*TRACE, "--policy", "depth="], "'depth=' is no rule: '' is no number"),
        ([*TRACE, "--policy", "static=1.5"], "'static=1.5' is no rule: 1.5 workers: whole"),
        ([*TRACE, "--policy", "max=0.3,1,1"], "'max=0.3,1,1' is no rule: 0.3 minutes: whole"),
        ([*TRACE, "--policy", "cpu=70"], "'cpu=70' is no rule: a share is at most 1, or 100%"),
        ([*TRACE, "--policy", "Depth=3"], "'Depth=3' is neither a file nor a rule; rules are"),
        (
            ["--trace", "recording.jsonl", *NEW[2:], "--mean-load", "999999", "--service", "1ms"],
            "messages are too many one by one",
        ),
        (["--trace", "week.csv.gz", *NEW[2:]], "week.csv.gz: it is not UTF-8 text; is it packed?"),
        ([*TRACE, "--policy", "depth=0"], "'depth=0' is no rule: numbers must be above 0"),
        ([*TRACE, "--policy", "static=9"], "--service: nothing tells how long a message runs"),
        ([*TRACE, "--policy", "gone.yaml"], "gone.yaml cannot be read: No such file"),
        (["--trace", "gone.csv", "--policy", "new.yaml"], "gone.csv: cannot be read: No such file"),
        (["--trace", "new.yaml", "--policy", "new.yaml"], "new.yaml, line 2: unknown columns"),
        (["--policy", "new.yaml"], "--trace"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    program: Program, words: list[str], said: str
) -> None:
    code, out, err = program.run(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_what_is_wrong_in_a_policy_is_named_with_key_and_line(program: Program) -> None:
    (program.folder / "wrong.yaml").write_text("max: 5\nmin: 9\nobjectives:\n  all: {within: 0s}\n")
    code, _, err = program.run(*TRACE, "--policy", "wrong.yaml", "--fleet", "coder")
    assert code == 2
    assert "fleets.coder.scaling" in err
    assert "wrong.yaml:" in err
    code, _, err = program.run(*TRACE, "--policy", "wrong.yaml", "--fleet", "coder", "--json")
    assert orjson.loads(err)["error"] == "ConfigRefused"


def test_the_environment_changes_no_simulation(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = program.told(*NEW)
    monkeypatch.setenv("OCTOQUEUE_REDIS__POOL", "nonsense")
    monkeypatch.setenv("OCTOQUEUE_FLEETS__SIMULATED__SCALING__MAX", "1")
    assert program.told(*NEW) == before


def test_a_picture_is_written(program: Program) -> None:
    code, _, err = program.run(*NEW, "--against", "clairvoyant", "--plot", "picture.svg")
    assert (code, err) == (0, "")
    assert b"<svg" in (program.folder / "picture.svg").read_bytes()


def test_a_policy_is_called_by_its_file_whatever_that_is_called(program: Program) -> None:
    (program.folder / "[new][").mkdir()
    (program.folder / "[new][" / "x].yaml").write_text(SECTION)
    code, out, _ = program.run(*TRACE, "--policy", "[new][/x].yaml")
    assert code == 0
    assert "[new][/x].yaml" in out


def test_what_was_simulated_is_told_even_if_the_picture_cannot_be_written(program: Program) -> None:
    (program.folder / "folder.png").mkdir()
    code, out, err = program.run(*NEW, "--plot", "folder.png")
    assert code == 2
    assert "minutes met" in out
    assert "folder.png cannot be written: Is a directory" in err


@pytest.mark.parametrize("rule", ["max=3,1.1,1", "cpu=70%", "clairvoyant", "depth=4", "static=5"])
@pytest.mark.parametrize("loop", ["--hpa", "--agent"])
def test_every_rule_can_be_compared_with(program: Program, rule: str, loop: str) -> None:
    told = program.told(*TRACE, "--policy", rule, "--service", "10s", loop, "--outage", "10m/1m")
    assert told["rules"][0]["unread_syncs"] == (4 if loop == "--hpa" else 12)
    assert told["rules"][0]["worker_hours"] > 0
