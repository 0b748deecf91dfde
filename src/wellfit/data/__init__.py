"""From files to batches: sources, formats, splits, audit, token shards, rows and blocks."""

from wellfit.data.batches import IGNORE, ExampleFeed, Feed, Rows, StreamFeed, train_feed
from wellfit.data.blocks import Blocks, eval_blocks
from wellfit.data.cache import cache_folder
from wellfit.data.examination import Preview, places_of, preview, too_long
from wellfit.data.prepared import Prepared, prepare, prepare_for_eval
from wellfit.data.progress import Progress, Stage
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
    "eval_blocks",
    "find_sources",
    "places_of",
    "prepare",
    "prepare_for_eval",
    "preview",
    "too_long",
    "train_feed",
]
