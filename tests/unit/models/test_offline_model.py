from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import ReplyUnusable
from octoqueue.models.offline.commands import command_for
from octoqueue.models.offline.model import MODEL_NAME, OfflineModel
from octoqueue.models.offline.recipes import RECIPES, programmed
from octoqueue.models.protocol import Completion, Prompt, Purpose, Usage
from octoqueue.models.replies import code_from, command_from, plan_from, review_from

ARMS = ("executor", "coder", "guardian", "retriever")
goals = st.text(min_size=1, max_size=200) | st.sampled_from(
    ["list files in /", "Run `ls '`", "write code and check it; then stop", "echo '", "\x00 find *"]
)


def ask(
    purpose: Purpose, goal: str, *, material: str = "", findings: tuple[str, ...] = ()
) -> Completion:
    prompt = Prompt(purpose=purpose, goal=goal, material=material, choices=ARMS, findings=findings)
    return asyncio.run(OfflineModel().complete(prompt))


def reply(text: str) -> Completion:
    usage = Usage(prompt_tokens=0, completion_tokens=0)
    return Completion(text=text, model="m", usage=usage)


@pytest.mark.parametrize(
    ("goal", "arm"),
    [
        ("List files in /tmp directory", "executor"),
        ("Write a Python function to sort a list", "coder"),
        ("Analyze security of a web application", "guardian"),
        ("Simple task", "retriever"),
        ("What is a priority lane?", "retriever"),
        ("Write a Python script that lists files in /tmp", "coder"),
        ("Check the security of this script", "guardian"),
        ("What is the current date?", "executor"),
    ],
)
def test_goals_go_to_the_arm_a_person_would_choose(goal: str, arm: str) -> None:
    plan = plan_from(ask(Purpose.PLAN, goal), choices=ARMS)
    assert (plan.arm, bool(plan.reason)) == (arm, True)


def test_a_program_is_written_after_what_is_known_and_what_is_risky_were_looked_at() -> None:
    plan = plan_from(ask(Purpose.PLAN, "Write a Python function to sort a list"), choices=ARMS)
    assert [(step.id, step.arm, step.needs) for step in plan.steps] == [
        ("known", "retriever", ()),
        ("risks", "guardian", ()),
        ("program", "coder", ("known", "risks")),
    ]


def test_of_the_arms_that_may_not_be_chosen_none_is_in_the_plan() -> None:
    prompt = Prompt(purpose=Purpose.PLAN, goal="Write a function", choices=("coder",))
    plan = plan_from(asyncio.run(OfflineModel().complete(prompt)), choices=("coder",))
    assert [(step.arm, step.needs) for step in plan.steps] == [("coder", ())]


@pytest.mark.parametrize(
    ("goal", "complexity"),
    [
        ("List files in /tmp directory", "low"),
        ("Simple task", "low"),
        ("Write a Python function to sort a list", "medium"),
        ("Analyze security of a web application", "high"),
    ],
)
def test_the_complexity_follows_the_main_arm(goal: str, complexity: str) -> None:
    assert plan_from(ask(Purpose.PLAN, goal), choices=ARMS).complexity == complexity


def test_a_folder_that_was_read_as_a_file_is_listed_when_it_is_tried_again() -> None:
    assert command_from(ask(Purpose.COMMAND, "Print /tmp")).argv == ("cat", "/tmp")
    wrong = ("command succeeded: `cat /tmp` ended with exit code 1: cat: /tmp: Is a directory",)
    again = command_from(ask(Purpose.COMMAND, "Print /tmp", findings=wrong))
    assert again.argv == ("ls", "-la", "/tmp")
    other = ("command succeeded: `cat /tmp` ended with exit code 1: Permission denied",)
    assert command_from(ask(Purpose.COMMAND, "Print /tmp", findings=other)).argv == ("cat", "/tmp")


@pytest.mark.parametrize(
    ("goal", "argv"),
    [
        ("List files in /tmp directory", "ls -la /tmp"),
        ("list all files in the folder /usr/share/.", "ls -la /usr/share"),
        ("Show disk usage", "df -h"),
        ("What is the size of /tmp?", "du -sh /tmp"),
        ("Count the lines in /tmp/a.txt", "wc -l /tmp/a.txt"),
        ("Show the last 3 lines of /tmp/a", "tail -n 3 /tmp/a"),
        ("find *.py files in /tmp", "find /tmp -maxdepth 4 -name *.py"),
        ("search for lease in /tmp", "grep -rn lease /tmp"),
        ("run ls -l /tmp", "ls -l /tmp"),
        ("Execute the command: `rm -rf /`", "rm -rf /"),
        ("how many cores does it have", "nproc"),
    ],
)
def test_phrases_become_commands_word_by_word(goal: str, argv: str) -> None:
    assert command_from(ask(Purpose.COMMAND, goal)).argv == tuple(argv.split())


@pytest.mark.parametrize("goal", ["run tests for my project", "Simple task", "list my wishes"])
def test_where_no_phrase_fits_there_is_no_command(goal: str) -> None:
    choice = command_from(ask(Purpose.COMMAND, goal))
    assert choice.argv is None
    assert "knows no command" in choice.reason


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.words[0])
def test_every_recipe_passes_its_own_check(recipe: object) -> None:
    code = next(each for each in RECIPES if each is recipe)
    exec(
        compile(f"{code.code}\n{code.check}", "recipe", "exec", dont_inherit=True),
        {"__name__": "recipe"},
    )


def test_the_sample_goal_gets_a_function_that_sorts() -> None:
    written = code_from(ask(Purpose.CODE, "Write a Python function to sort a list"))
    scope: dict[str, object] = {"__name__": "solution"}
    exec(compile(written.code, "solution", "exec", dont_inherit=True), scope)
    sort_list = scope["sort_list"]
    assert callable(sort_list)
    assert sort_list([5, 3, 9, 1]) == [1, 3, 5, 9]


@given(goal=goals)
def test_whatever_is_asked_the_program_runs_and_passes_its_check(goal: str) -> None:
    written = programmed(goal)
    exec(
        compile(f"{written.code}\n{written.check}", "any", "exec", dont_inherit=True),
        {"__name__": "any"},
    )


@given(goal=goals)
def test_one_goal_always_gets_one_answer_in_the_promised_form(goal: str) -> None:
    for purpose in (Purpose.PLAN, Purpose.COMMAND, Purpose.CODE):
        first, second = ask(purpose, goal), ask(purpose, goal)
        assert first == second
        assert first.model == MODEL_NAME == "offline-deterministic"
    plan_from(ask(Purpose.PLAN, goal), choices=ARMS)
    command_from(ask(Purpose.COMMAND, goal))
    code_from(ask(Purpose.CODE, goal))


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "word", ["find ", "list files ", "write ", "a* ", "run a ", "search for ", "/", "'"]
)
def test_a_goal_made_to_be_slow_to_read_is_not(word: str) -> None:
    goal = word * (32_000 // len(word))
    for _ in range(10):
        ask(Purpose.PLAN, goal)
        command_for(goal)


def test_an_answer_quotes_the_sentences_that_speak_of_the_goal() -> None:
    material = "Cats sleep. A lane is a priority class. Dogs bark! Every lane has a bound."
    text = ask(Purpose.ANSWER, "What is a priority lane?", material=material).text
    assert text == "A lane is a priority class. Every lane has a bound."
    assert "Nothing" in ask(Purpose.ANSWER, "What is a priority lane?", material="Cats sleep.").text


@pytest.mark.parametrize(
    ("material", "accepted", "told"),
    [
        ('{"checks": [{"name": "exit code", "passed": true}]}', True, "exit code"),
        ('{"checks": [{"name": "runs", "passed": false, "detail": "boom"}]}', False, "runs: boom"),
        ('{"text": "x"}', True, "nothing to check"),
        (
            (
                '{"checks": [{"name": "a", "passed": true}], '
                '"steps": [{"checks": [{"name": "b", "passed": false, "detail": "boom"}]}]}'
            ),
            False,
            "1 of 2 checks failed: b: boom",
        ),
    ],
)
def test_a_review_rests_on_the_checks_of_the_result(
    material: str, *, accepted: bool, told: str
) -> None:
    review = review_from(ask(Purpose.REVIEW, "goal", material=material))
    assert review.accepted is accepted
    assert told in review.remark
    assert bool(review.findings) is not accepted


def test_usage_counts_words_in_and_out() -> None:
    completion = ask(Purpose.ANSWER, "two words", material="one two three.")
    assert completion.usage == Usage(prompt_tokens=5, completion_tokens=3)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! I choose the coder.",
        "[]",
        '{"steps": 7}',
        '{"steps": []}',
        '{"steps": [{"id": "a", "arm": "octopus"}]}',
        '{"steps": [{"id": "Not a name", "arm": "coder"}]}',
        '{"steps": [{"id": "a", "arm": "coder"}], "complexity": "enormous"}',
        "{}",
        '{"steps": [{"id": "a", "arm": null}]}',
    ],
)
def test_an_unusable_plan_is_refused_and_worth_asking_again(text: str) -> None:
    with pytest.raises(ReplyUnusable) as refused:
        plan_from(reply(text), choices=ARMS)
    assert (refused.value.model, refused.value.purpose) == ("m", "plan")
    assert refused.value.retryable


def test_a_fence_around_the_json_is_forgiven() -> None:
    text = '```json\n{"steps": [{"id": "a", "arm": "coder"}], "reason": "r"}\n```'
    assert plan_from(reply(text), choices=ARMS).arm == "coder"


@pytest.mark.parametrize(
    "text", ['{"argv": []}', '{"argv": "ls"}', '{"argv": [1]}', '{"reason": "x"}']
)
def test_an_unusable_command_is_refused(text: str) -> None:
    with pytest.raises(ReplyUnusable, match="argv"):
        command_from(reply(text))


def test_an_empty_program_is_refused() -> None:
    with pytest.raises(ReplyUnusable, match="code"):
        code_from(reply('{"code": "  "}'))
