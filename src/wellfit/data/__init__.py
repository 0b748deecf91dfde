"""From files to batches: sources, formats, splits, audit, token shards, rows and blocks."""

from wellfit.data.audit import places_of
from wellfit.data.batches import IGNORE, Blocks, Feed, Rows, StreamFeed, eval_blocks, train_feed
from wellfit.data.chat import end_of_answer, render_prompt
from wellfit.data.coding import encode_prompt
from wellfit.data.fitting import fit_counts, said_of_fit, too_long
from wellfit.data.prepared import Prepared, prepare
from wellfit.data.previews import preview
from wellfit.data.reading import Progress
from wellfit.data.sources import Sources, find_sources
from wellfit.data.stream import Labels, Split

__all__ = [
    "IGNORE",
    "Blocks",
    "Feed",
    "Labels",
    "Prepared",
    "Progress",
    "Rows",
    "Sources",
    "Split",
    "StreamFeed",
    "encode_prompt",
    "end_of_answer",
    "eval_blocks",
    "find_sources",
    "fit_counts",
    "places_of",
    "prepare",
    "preview",
    "render_prompt",
    "said_of_fit",
    "too_long",
    "train_feed",
]
