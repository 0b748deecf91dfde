"""From files to batches: sources, formats, splits, audit, token shards, rows and blocks."""

from wellfit.data.batches import IGNORE, ExampleFeed, Feed, Rows, StreamFeed, train_feed
from wellfit.data.blocks import Blocks, eval_blocks
from wellfit.data.cache import cache_folder
from wellfit.data.examination import places_of, too_long
from wellfit.data.fitting import fit_counts, said_of_fit
from wellfit.data.prepared import Prepared, prepare
from wellfit.data.previews import Preview, preview
from wellfit.data.progress import Progress, Stage
from wellfit.data.prompts import encode_prompt, end_of_answer, render_prompt, render_prompts
from wellfit.data.sources import SourceFile, Sources, find_sources
from wellfit.data.stream import Labels, Split

__all__ = [
    "IGNORE",
    "Blocks",
    "ExampleFeed",
    "Feed",
    "Labels",
    "Prepared",
    "Preview",
    "Progress",
    "Rows",
    "SourceFile",
    "Sources",
    "Split",
    "Stage",
    "StreamFeed",
    "cache_folder",
    "encode_prompt",
    "end_of_answer",
    "eval_blocks",
    "find_sources",
    "fit_counts",
    "places_of",
    "prepare",
    "preview",
    "render_prompt",
    "render_prompts",
    "said_of_fit",
    "too_long",
    "train_feed",
]
