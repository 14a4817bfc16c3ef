"""Every command of babysit, listed by hand: what it is for, and how it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True)
class Command:
    """One command; it lives in the file of its name, as the function of its name."""

    name: str
    sentence: str
    more: str  # a second paragraph of its help
    examples: tuple[str, ...]
    has_parts: bool = False  # commands of its own: it is an App, and says itself what stands below


COMMANDS: Final = (
    Command(
        "run",
        "Carry the whole method out: prepare, check, search, train under watch, and say what came of it.",
        "Every stage is kept as it ends: stopped at any point, the run can be read, and `--resume` goes on with it.",
        (
            "babysit run digits",
            "babysit run people.csv --target income",
            "babysit run pictures/ --model mine.nets:build --seed 3",
            "babysit run --resume",
        ),
    ),
    Command(
        "check",
        "Check data and model before training: initial loss, twenty samples by heart, range of useful learning rates.",
        "Exit code 1 when an experiment fails or warns, or a rule finds something.",
        ("babysit check digits", "babysit check people.csv --target income --model mine.nets:build"),
    ),
    Command(
        "fit",
        "Train under watch with early stopping, test, and say what was found.",
        "",
        ("babysit fit digits", "babysit fit digits --lr 3e-3 --weight-decay 1e-4 --epochs 20"),
    ),
    Command(
        "search",
        "Search hyperparameters: many short trainings over wide ranges, then longer ones around the best.",
        "Ranges are `name=low..high` (logarithmic, or `:linear`), choices `name=a,b,c`, and `@other=a` behind one "
        "means only where other is a. Known names: lr, weight_decay, optimizer, batch_size, momentum, "
        "beta1, beta2, "
        "lr_decay, lr_end, warmup_steps, grad_clip_norm and init_scale; for the models built here also hidden "
        "(tables), "
        "channels (images), activation and dropout; for your own model the names that its factory takes. Stopped in "
        "any way, also by a kill, a search goes on with `--resume`.",
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
        "Run a training script, unchanged, under watch, and say what was found.",
        "Output, arguments, working directory and seeds of the script stay as they are, and so does its exit code when "
        "it fails. When it ends well, the exit code is 1 if something was found (see --fail-on), 0 otherwise. Started "
        "by torchrun, accelerate launch, Slurm or MPI, findings leave it at 0 unless --fail-on stands on the command "
        "line: a launcher takes another code for a failed job and may train again. Options of babysit come before the "
        "script; everything after it belongs to the script. A live panel at the foot of the terminal shows loss, vital "
        "signs and findings when the script's output goes to a file, or on --live.",
        (
            "babysit watch train.py --epochs 3",
            "babysit watch --live train.py",
            "babysit watch --json found.json train.py",
            "babysit watch --select U,G --exit-zero train.py",
        ),
    ),
    Command(
        "fix",
        "Try each fix that a run's findings propose: train again with it and without it, on several seeds.",
        "For runs of `babysit fit` and `babysit run`, whose data and model are known. Exit code 0 when a fix helped or "
        "none is proposed, 1 when none is shown to help, 2 when nothing can be told (fewer than three seeds, data that "
        "changed).",
        ("babysit fix latest", "babysit fix 20250314 --seeds 5 --json"),
    ),
    Command(
        "runs",
        "List the recorded runs, or show one as text; tag, annotate, delete, export and import them.",
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
        "Write the report of a run: one page that opens offline, text, JSON, Markdown or SARIF.",
        "A page is written beside the run's other files unless told otherwise; the other forms go to standard output. "
        "SARIF is what editors and code hosts show beside the lines of a program.",
        (
            "babysit report latest --open",
            "babysit report 20250314 --output monday.html",
            "babysit report latest --format md",
            "babysit report latest --format sarif --output babysit.sarif",
        ),
    ),
    Command(
        "compare",
        "Put two to six runs side by side: what came of each, what differs between them, and their curves.",
        "Results are ranked where they can be; what cannot be compared is said, with the reason. For two runs the page "
        "shows layer by layer how they differ.",
        (
            "babysit compare 20250314-1015 latest",
            "babysit compare 20250314-1015 latest --open",
            "babysit compare 20250314-1015 20250314-1120 latest --json",
        ),
    ),
    Command(
        "ui",
        "Show the runs in a browser: verdict, findings and figures, live while training goes on.",
        "Only this machine reaches the page. With another --host whoever has the printed address does. Nothing is "
        "changed but the notes and tags that are written there.",
        ("babysit ui", "babysit ui --open --store runs/", "babysit ui --host 0.0.0.0 --port 9000"),
    ),
    Command(
        "rules",
        "List the rules: code, name, severity, and what each finds.",
        "",
        ("babysit rules", "babysit rules O2 U dead-relu", "babysit rules --json"),
    ),
    Command(
        "explain",
        "Say what a rule looks for, why it matters, what to do, and when it is wrong.",
        "",
        ("babysit explain O201", "babysit explain double-softmax", "babysit explain O201 --json"),
    ),
)

# The commands of `babysit runs`, and where each is.
PARTS_OF_RUNS: Final = (
    (
        Command(
            "tag",
            "Put tags on a run, or take some away.",
            "",
            ("babysit runs tag latest paper best", "babysit runs tag latest --remove draft"),
        ),
        "babysit.cli.runs_change:tag",
    ),
    (
        Command("note", "Write a note on a run.", "", ('babysit runs note latest "with the new data"',)),
        "babysit.cli.runs_change:note",
    ),
    (
        Command(
            "delete",
            "Remove runs from the store; their files (models, reports) stay.",
            "Asks first, unless told --yes.",
            ("babysit runs delete 20250314-1015", "babysit runs delete 20250314-1015 20250314-1120 --yes"),
        ),
        "babysit.cli.runs_change:delete",
    ),
    (
        Command(
            "export",
            "Write runs to files that other programs read and `babysit runs import` brings back.",
            "A table has one row for each value: part, name, layer, step, value. What else is known of the run stands "
            "in its head.",
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
            "Bring runs in from files: the same runs as were exported, with their tags and notes.",
            "",
            ("babysit runs import run.parquet", "babysit runs import archive/ --replace"),
        ),
        "babysit.cli.runs_move:import_",
    ),
)


def help_of(command: Command) -> str:
    """Its help, above the options."""
    return f"{command.sentence}\n\n{command.more}".strip()


def examples_of(command: Command) -> str:
    """Its examples, below the options."""
    return "Examples:\n```console\n" + "\n".join(f"$ {example}" for example in command.examples) + "\n```"
