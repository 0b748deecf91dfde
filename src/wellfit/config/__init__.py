"""The recipe: frozen sections, and the functions that read, explain and write them.

What a section can hold (optimizers, schedules, losses, splits, clips) is in the module of that
section, where the package that builds it finds it.
"""

from wellfit.config.data import (
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    Data,
    PretrainedTokenizer,
    Tokenizer,
)
from wellfit.config.draft import draft
from wellfit.config.fields import known
from wellfit.config.loader import (
    Explained,
    Loaded,
    explain,
    load_dict,
    load_recipe,
    load_text,
    recipe_from_dict,
    to_dict,
)
from wellfit.config.model import Decoder, Lora, Ngrams, Pretrained
from wellfit.config.presets import presets
from wellfit.config.recipe import Recipe
from wellfit.config.schema import json_schema
from wellfit.config.task import Chat, Classify, Complete, LanguageModel, Regress, Task
from wellfit.config.train import Regularize, Stop
from wellfit.config.writing import dump_commented, preset_text

__all__ = [
    "BpeTokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Data",
    "PretrainedTokenizer",
    "Tokenizer",
    "draft",
    "known",
    "Explained",
    "Loaded",
    "explain",
    "load_dict",
    "load_recipe",
    "load_text",
    "recipe_from_dict",
    "to_dict",
    "Decoder",
    "Lora",
    "Ngrams",
    "Pretrained",
    "presets",
    "Recipe",
    "json_schema",
    "Chat",
    "Classify",
    "Complete",
    "LanguageModel",
    "Regress",
    "Task",
    "Regularize",
    "Stop",
    "dump_commented",
    "preset_text",
]
