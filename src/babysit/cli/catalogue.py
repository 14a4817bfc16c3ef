"""Catalogue of the commands, with help texts and examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True)
class Command:
    """A command, implemented by the function and module of the same name."""

    name: str
    sentence: str
    more: str  # second paragraph of the help
    examples: tuple[str, ...]
    has_parts: bool = False  # it has subcommands and is an App of its own


COMMANDS: Final = (
    Command(
        "run",
        "Run the full workflow: prepare data, check, search hyperparameters, train, and report.",
        "Each stage is saved when it ends: an interrupted run can be shown, and `--resume` continues it.",
        (
            "babysit run digits",
            "babysit run people.csv --target income",
            "babysit run pictures/ --model mine.nets:build --seed 3",
            "babysit run --resume",
        ),
    ),
    Command(
        "check",
        "Check data and model before training: initial loss, overfitting of a small batch, learning-rate range.",
        "Exit code 1 if a check fails or warns, or a rule reports a finding.",
        ("babysit check digits", "babysit check people.csv --target income --model mine.nets:build"),
    ),
    Command(
        "fit",
        "Train one model with monitoring and early stopping, test it, and report the findings.",
        "",
        ("babysit fit digits", "babysit fit digits --lr 3e-3 --weight-decay 1e-4 --epochs 20"),
    ),
    Command(
        "search",
        "Search hyperparameters: many short trials over wide ranges, then longer trials around the best.",
        "Ranges are `name=low..high` (logarithmic, or `:linear`), choices `name=a,b,c`; a suffix `@other=a` makes "
        "a parameter conditional on `other` being `a`. Known names: lr, weight_decay, optimizer, batch_size, momentum, "
        "beta1, beta2, "
        "lr_decay, lr_end, warmup_steps, grad_clip_norm and init_scale; for built-in models also hidden "
        "(tables), "
        "channels (images), activation and dropout; for your own model the parameters of its factory. `--resume` "
        "continues an interrupted or killed search.",
        (
            "babysit search digits",
            "babysit search digits --space lr=1e-4..1e-1,hidden=32,64,128 --trials 64 --epochs 9",
            "babysit search digits lr=1e-4..1e-1 optimizer=nesterov,adam --sampler tpe",
            "babysit search people.csv --target income lr=1e-5..1e-2 dropout=0..0.5 --fine 16",
            "babysit search pictures/ --model mine.nets:build width=16,32 --executor processes --workers 4",
            "babysit search pictures/ --executor ray --address auto --trials 200 --epochs 9",
            "babysit search --resume",
        ),
    ),
    Command(
        "watch",
        "Run an unchanged training script with monitoring, and report the findings.",
        "Output, arguments, working directory and seeds of the script are unchanged, and so is its exit code if it "
        "fails. Otherwise the exit code is 1 if there are findings (see --fail-on), else 0. Under torchrun, accelerate "
        "launch, Slurm or MPI findings do not change the exit code unless --fail-on is given on the command line: a "
        "launcher treats a nonzero code as a failed job and may restart it. Options of babysit come before the script; "
        "everything after it is passed to the script. With --live, or if the output of the script is redirected, a "
        "panel at the bottom of the terminal shows loss, layer metrics and findings.",
        (
            "babysit watch train.py --epochs 3",
            "babysit watch --live train.py",
            "babysit watch --json found.json train.py",
            "babysit watch --select U,G --exit-zero train.py",
        ),
    ),
    Command(
        "fix",
        "Try the fixes proposed by the findings of a run: train with and without each fix on several seeds.",
        "Supports runs of `babysit fit` and `babysit run`, whose data and model are known. Exit code 0 if a fix "
        "helped or none is proposed, 1 if no fix is shown to help, 2 on invalid input (fewer than "
        "three seeds, changed data).",
        ("babysit fix latest", "babysit fix 20250314 --seeds 5 --json"),
    ),
    Command(
        "runs",
        "List the recorded runs, or show one as text; tag, annotate, delete, export and import runs.",
        "",
        (
            "babysit runs",
            "babysit runs --verdict problems --tag paper --sort result",
            "babysit runs --find digits --limit 5 --json",
            "babysit runs latest",
            "babysit runs tag latest paper --remove draft",
            'babysit runs note latest "with the new data"',
            "babysit runs delete 20250314-1015 20250314-1120 --yes",
            "babysit runs export latest --to run.parquet",
            "babysit runs import run.parquet",
        ),
        has_parts=True,
    ),
    Command(
        "report",
        "Write the report of a run as an offline HTML page, text, JSON, Markdown or SARIF.",
        "The HTML page is written to the folder of the run by default; other formats go to standard output. SARIF is "
        "the format in which editors and code hosts show findings next to the code.",
        (
            "babysit report latest --open",
            "babysit report 20250314 --output monday.html",
            "babysit report latest --format md",
            "babysit report latest --format sarif --output babysit.sarif",
        ),
    ),
    Command(
        "compare",
        "Compare two to six runs: results, differences and curves.",
        "Results are ranked if they are comparable; otherwise the reason is shown. For two runs the page compares each "
        "layer.",
        (
            "babysit compare 20250314-1015 latest",
            "babysit compare 20250314-1015 latest --open",
            "babysit compare 20250314-1015 20250314-1120 latest --json",
        ),
    ),
    Command(
        "ui",
        "Show the runs in a browser: verdict, findings and figures, with live updates during training.",
        "By default only this machine can open the page; with another --host a token is required, which is part of the "
        "printed URL. The page can change notes and tags only.",
        ("babysit ui", "babysit ui --open --store runs/", "babysit ui --host 0.0.0.0 --port 9000"),
    ),
    Command(
        "rules",
        "List the rules with code, name, severity and condition.",
        "",
        ("babysit rules", "babysit rules O2 U dead-relu", "babysit rules --json"),
    ),
    Command(
        "explain",
        "Explain a rule: what it detects, why it matters, how to fix the issue, and known false positives.",
        "",
        ("babysit explain O201", "babysit explain double-softmax", "babysit explain O201 --json"),
    ),
)

# Subcommands of `babysit runs`, with their import paths.
PARTS_OF_RUNS: Final = (
    (
        Command(
            "tag",
            "Add tags to a run, or remove tags.",
            "",
            ("babysit runs tag latest paper best", "babysit runs tag latest --remove draft"),
        ),
        "babysit.cli.runs_change:tag",
    ),
    (
        Command("note", "Set the note of a run.", "", ('babysit runs note latest "with the new data"',)),
        "babysit.cli.runs_change:note",
    ),
    (
        Command(
            "delete",
            "Delete runs from the store; their files (models, reports) are not deleted.",
            "Asks for confirmation unless --yes is given.",
            ("babysit runs delete 20250314-1015", "babysit runs delete 20250314-1015 20250314-1120 --yes"),
        ),
        "babysit.cli.runs_change:delete",
    ),
    (
        Command(
            "export",
            "Export runs to files that other programs can read and `babysit runs import` can import.",
            "A table has one row per value: part, name, layer, step, value. Other data of the run are stored in its "
            "metadata.",
            (
                "babysit runs export latest --to run.parquet",
                "babysit runs export 20250314-1015 20250314-1120 --to archive/ --format csv",
            ),
        ),
        "babysit.cli.runs_move:export",
    ),
    (
        Command(
            "import",
            "Import exported runs from files, with their tags and notes.",
            "",
            ("babysit runs import run.parquet", "babysit runs import archive/ --replace"),
        ),
        "babysit.cli.runs_move:import_",
    ),
)


def help_of(command: Command) -> str:
    """Return the help text above the options."""
    return f"{command.sentence}\n\n{command.more}".strip()


def examples_of(command: Command) -> str:
    """Return the examples below the options."""
    return "Examples:\n```console\n" + "\n".join(f"$ {example}" for example in command.examples) + "\n```"
