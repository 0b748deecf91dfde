"""The record of a run: its directory, its one writer, its readers.

Facts that readers know by name: ``steps_total``, ``parameters``, ``tokens_per_step``,
``epoch_tokens`` (targets in one pass over train), ``budget``, ``seed``, ``baselines``
(name -> loss per target), ``mark`` (the one to pass), ``unit`` (of losses), ``verdict``,
``machine``, ``flops_per_token`` and ``peak_flops_per_s`` (of all GPUs; where both are known),
``task`` (its kind), ``outcomes`` (by split: confusion matrix, worst examples, writings), ``data``
(what the text is called).  Others may be set and are shown as they are.

Series that readers know by name: ``loss``, ``grad_norm``, ``lr``, ``tokens_per_s``, ``tokens``
(targets whose loss counted; those of a labelled task are texts, see ``counted_by``),
``elapsed_s``.
"""

from wellfit.store.evaluation import Basis, Evaluation, Split, Unit
from wellfit.store.lock import locked
from wellfit.store.record import Record, Status
from wellfit.store.rundir import RunDir, new_run_path, sync_directory, write_text_atomic
from wellfit.store.runs import diff_runs, flat_recipe, list_runs
from wellfit.store.summary import best_evaluation, counted_by, final_evaluation
from wellfit.store.view import RunView, Sample, Series, read_run

__all__ = [
    "Basis",
    "Evaluation",
    "Record",
    "RunDir",
    "locked",
    "RunView",
    "Sample",
    "Series",
    "Split",
    "Unit",
    "Status",
    "best_evaluation",
    "counted_by",
    "diff_runs",
    "final_evaluation",
    "flat_recipe",
    "list_runs",
    "new_run_path",
    "read_run",
    "sync_directory",
    "write_text_atomic",
]
