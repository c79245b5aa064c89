"""`carcloud research`: from recordings to scenarios, and to a verdict on a planner. Here its commands are put together;
each stands in a file of its noun beside this one.
"""

from __future__ import annotations

import typer

from carcloud.cli import mining, recordings, research_export, runs, simulations

app = typer.Typer()
research = typer.Typer(no_args_is_help=True, help="From recordings to scenarios, and to a verdict on a planner.")
app.add_typer(research, name="research")

research.command("import")(recordings.import_files)
research.command("recordings")(recordings.list_recordings)
research.command("scenarios")(recordings.list_scenarios)
research.command("forget")(recordings.forget)
research.command("find")(mining.find)
research.command("queries")(mining.list_queries)
research.command("tags")(mining.list_tags)
research.command("coverage")(mining.tell_coverage)
research.command("similar")(mining.list_similar)
research.command("simulate")(simulations.simulate_scenarios)
research.command("sweep")(simulations.sweep)
research.command("export")(research_export.export_scenarios)
research.command("run")(runs.run_planner)
research.command("runs")(runs.list_runs)
research.command("results")(runs.show_run)
research.command("metrics")(runs.show_metrics)
research.command("gate")(runs.gate)
research.command("candidates")(runs.list_candidates)
research.command("withdraw")(runs.withdraw_candidate)
