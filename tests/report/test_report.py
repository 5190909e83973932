"""Progress and tables: pure folds over events, and what they print."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.networks.plan import fitted
from bqnn.report import block_tables
from bqnn.report.foreign import PlainConsole
from bqnn.report.progress import Display, status_line
from bqnn.report.table import duration
from bqnn.search.events import Asked, Evaluated, Event, Told
from bqnn.search.summary import Summary, headline, update
from bqnn.space.nsc import parse
from tests.helpers.networks import SPEC, small


def _event(
    slot: int,
    reward: float,
    status: Status = Status.OK,
    sha: str = "",
    recorded: bool = False,
) -> Evaluated:
    block = parse("1,1,3,0,0;2,4,0,1,0")
    candidate = Candidate(0, slot, block, sha or str(slot), 0, 5000, 3, 4, 70_000, 9)
    taught = status in (Status.OK, Status.REUSED)
    evaluation = Evaluation(
        status, accuracy=(0.5, reward) if taught else (), error="broken\nTraceback"
    )
    return Evaluated(candidate, evaluation, reward, recorded)


def _fold(events: list[Event]) -> Summary:
    summary = Summary(iterations=2, batch=4)
    for event in events:
        summary = update(summary, event)
    return summary


EVENTS: list[Event] = [
    Asked(0, 1.0, False),
    _event(0, 0.3, recorded=True),
    _event(1, 0.9, Status.REUSED, sha="0"),
    _event(2, 0.5),
    _event(3, 0.1, Status.FAILED),
    Told(0, "d1", False),
    Asked(1, 0.5, False),
]


def test_a_summary_counts_what_happened() -> None:
    summary = _fold(EVENTS)
    assert (summary.done, summary.reused, summary.failed) == (4, 1, 1)
    assert (summary.told, summary.fresh, summary.total) == (1, 3, 8)
    assert (summary.epsilon, summary.digest, summary.complete) == (0.5, "d1", False)
    assert update(summary, Told(1, "d2", False)).complete


def test_the_best_are_ranked_once_per_canonical_block() -> None:
    summary = _fold(EVENTS)
    # Slots 0 and 1 are twins: the better written one counts. Slot 3 has no accuracy.
    assert [event.candidate.slot for event in summary.best] == [1, 2]
    many = _fold([_event(slot, slot / 10) for slot in range(9)])
    assert [event.candidate.slot for event in many.best] == [8, 7, 6, 5, 4]
    ties = _fold([_event(slot, 0.5) for slot in (3, 1, 2)])
    assert [event.candidate.slot for event in ties.best] == [1, 2, 3]


def test_what_diverged_is_never_best() -> None:
    event = _event(0, 0.9, Status.DIVERGED)
    early = Evaluation(Status.DIVERGED, accuracy=(0.99,))
    assert _fold([event._replace(evaluation=early)]).best == ()


def test_the_order_of_events_does_not_decide_the_best() -> None:
    forwards = _fold(EVENTS).best
    backwards = _fold(EVENTS[::-1]).best
    assert forwards == backwards


def test_the_status_line_says_where_the_search_stands() -> None:
    line = status_line(_fold(EVENTS), seconds=30)
    # Three fresh candidates in half a minute, four more to do.
    assert line == (
        "iteration 1/2, epsilon 0.5, done 4, reused 1, failed 1, best reward 0.9000, "
        "6.0 candidates/min, 0:40 left"
    )
    assert "best reward -" in status_line(Summary(2, 4), seconds=0)


def test_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=200), 2, 4) as display:
        for event in EVENTS:
            display.show(event)
    lines = out.getvalue().splitlines()
    assert lines[0] == (
        "2/8 reused: 1,1,3,0,0;2,4,0,1,0;3,7,0,0,0 reward 0.9000, accuracy 90.00%"
    )
    assert lines[2].endswith("reward 0.1000, broken")
    assert lines[3].startswith("iteration 1/2, epsilon 1, done 4")
    assert len(lines) == 4, "what was recorded before is not news"


def test_a_live_panel_in_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with Display(console, 2, 4) as display:
        for event in EVENTS:
            display.show(event)
    text = out.getvalue()
    assert "4/8" in text
    assert "epsilon 0.5, done 4, reused 1, failed 1" in text
    assert "best: reward 0.9000  1,1,3,0,0;2,4,0,1,0;3,7,0,0,0" in text


def test_the_table_of_the_best_blocks() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(block_tables.best_blocks(_fold(EVENTS).best))
    row = next(line for line in out.getvalue().splitlines() if "0.9000" in line)
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    assert cells == [
        "1", "1,1,3,0,0;2,4,0,1,0;3,7,0,0,0", "0.9000", "90.00%", "5 k", "0.750", "70 k"
    ]  # fmt: skip


def test_the_table_says_which_depth_a_budget_chose() -> None:
    setting = block_tables.NetworkSetting(small(fit_params=10_000), SPEC)
    out, best = io.StringIO(), _fold(EVENTS).best
    Console(file=out, width=120).print(block_tables.best_blocks(best, None, setting))
    head, row = (
        [line for line in out.getvalue().splitlines() if text in line][0]
        for text in ("params", "0.9000")
    )
    want = fitted(parse("1,1,3,0,0"), *setting).repeats
    assert head.split("┃")[-2].strip() == "N"
    assert row.split("│")[-2].strip() == str(want)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3723, "1:02:03")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_plain_console_shows_texts_as_they_are() -> None:
    text = "[red]x[/red] :smile: \x1b]0;mine\x07\u202e"
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console = PlainConsole(file=io.StringIO(), width=90)
    console.print(text, f"a\n{text}", table)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert shown.count(r"[red]x[/red] :smile: \x1b]0;mine\x07\u202e") == 5
    assert shown.replace("\n", "").isprintable()


def test_a_cause_is_shown_on_one_line_and_not_too_long() -> None:
    error = "no\x1b[2J" + "!" * 10**7 + "\nmore"
    shown = headline(Evaluation(Status.FAILED, error=error))
    assert shown.startswith(r"no\x1b[2J!") and len(shown) < 600
    assert headline(Evaluation(Status.FAILED)) == "no cause given"
