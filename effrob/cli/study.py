"""`effrob study`: list, show, run and sum up studies."""

from __future__ import annotations

from pathlib import Path

import click

from effrob.cli.options import add_option, given

RESULTS = click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("effrob-results"),
    show_default=True,
    help="Where records of measured arms are looked for.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print strict JSON on standard output.")


@click.group("study")
def study() -> None:
    """Ask what moves effective robustness: published or measured models, contrast by contrast.

    A study is a TOML file; five ship, one for each cause Fang et al. 2022 asked about. docs/studies.md says how to write one.
    """


@study.command("list")
@JSON
def list_studies(as_json: bool) -> None:
    """List the studies that ship."""
    from effrob.files import strict_json
    from effrob.studies.reader import read, shipped

    studies = [read(path) for path in shipped().values()]
    if as_json:
        rows = [
            {
                "name": each.name,
                "cause": each.cause,
                "title": each.title,
                "question": each.question,
                "arms": len(each.arms),
                "contrasts": len(each.contrasts),
                "shifts": list(each.shifts),
            }
            for each in studies
        ]
        click.echo(strict_json(rows), nl=False)
        return
    for each in studies:
        click.echo(f"{each.name:<18} cause {each.cause or '-':<4} {len(each.arms):>3} arms  {each.question}")


@study.command("show")
@click.argument("name", metavar="NAME-or-FILE")
@JSON
def show(name: str, as_json: bool) -> None:
    """Show a study as it is written; a start for one of your own."""
    from dataclasses import asdict

    from effrob.files import strict_json
    from effrob.studies.reader import find, path_of

    shown = find(name)
    if not as_json:
        click.echo(path_of(name).read_text(encoding="utf-8-sig"), nl=False)
        return
    facts = asdict(shown)
    for table in (facts, *facts["arms"]):
        del table["location"]
    click.echo(strict_json(facts), nl=False)


@study.command("run")
@click.argument("name", metavar="NAME-or-FILE")
@RESULTS
@click.option(
    "--figure", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Draw it: .png, .pdf or .svg."
)
@JSON
@add_option
def run_study(name: str, results: Path, figure: Path | None, as_json: bool, add: tuple[Path, ...]) -> None:
    """Run a study: effective robustness of each arm on each shift, contrasts with intervals, verdicts and caveats."""
    from effrob.files import strict_json
    from effrob.studies.finding import run
    from effrob.studies.reader import find
    from effrob.studies.report import report

    finding = run(find(name), results, given(add))
    if as_json:
        click.echo(strict_json(finding.as_json()), nl=False)
    else:
        click.echo(report(finding))
    if figure is not None:
        from effrob.studies.figure import draw

        draw(finding, figure)
        click.echo(f"the figure is in {figure}", err=True)


@study.command("summary")
@click.argument("names", nargs=-1, metavar="[NAME-or-FILE]...")
@click.option(
    "--trained",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="report.json",
    help="A training run's report, to stand beside the published verdicts.",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.md",
    help="A document whose marked place is to hold the table.",
)
@RESULTS
@JSON
def summary(names: tuple[str, ...], trained: Path | None, into: Path | None, results: Path, as_json: bool) -> None:
    """Rank what can be ranked: one table of studies, all that ship where none is named."""
    from effrob.files import strict_json
    from effrob.studies import summary as sums
    from effrob.studies.finding import run
    from effrob.studies.reader import find, shipped
    from effrob.studies.reported import read_report

    reported = None if trained is None else read_report(trained)
    ranked = sums.summarise(run(find(name), results) for name in names or shipped())
    if into is not None:
        sums.put_into(into, sums.markdown(ranked, reported))
        click.echo(f"the table is in {into}", err=True)
    if into is None or as_json:
        text = strict_json(sums.as_json(ranked, reported)) if as_json else sums.markdown(ranked, reported)
        click.echo(text, nl=False)
