"""From files to batches: sources, formats, splits, audit, token shards, rows and blocks."""

from wellfit.data.batches import IGNORE, ExampleFeed, Feed, Rows, StreamFeed, train_feed
from wellfit.data.blocks import Blocks, eval_blocks
from wellfit.data.cache import cache_folder
from wellfit.data.prepared import Prepared, prepare, prepare_for_eval
from wellfit.data.progress import Progress, Stage
from wellfit.data.sources import SourceFile, Sources, find_sources
from wellfit.data.stream import Labels, Split

__all__ = [
    "IGNORE",
    "Labels",
    "Blocks",
    "ExampleFeed",
    "Feed",
    "Prepared",
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
    "prepare",
    "prepare_for_eval",
    "train_feed",
]
