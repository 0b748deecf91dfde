"""Which text to learn from, what is kept back for val and test, and how it becomes tokens."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge, Le
from pydantic import AfterValidator, Field, model_validator

from wellfit.config.fields import (
    Auto,
    Count,
    Fraction,
    Name,
    Paths,
    Section,
    Size,
    Switch,
    Texts,
    Wanted,
    Wording,
    conflict,
    show,
    write_percent,
)


class SharesSplit(Section):
    """What splits by shares have in common."""

    kind: str
    val: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _leaves_train(self) -> SharesSplit:
        if self.val == 0:
            text = "0 leaves nothing to choose the checkpoint or judge the fit with; write a share "
            raise conflict("val", f"{text}above 0, for example 5%")
        if self.val + self.test >= 1:
            shares = f"val {write_percent(self.val)} and test {write_percent(self.test)}"
            text = "leave nothing for train; write shares that add up to less than 100%"
            raise conflict("val", f"{shares} {text}")
        return self


class HashSplit(SharesSplit):
    """Each document goes to train, val or test by a hash of its text.

    A document stays on its side when others are added, and equal documents stay together.
    """

    kind: Literal["hash"] = "hash"
    val: Fraction = 0.05
    """Share of the documents kept for val, which chooses the checkpoint."""
    test: Fraction = 0.05
    """Share of the documents kept for test, which is looked at once; 0 for no test split."""
    test_files: Annotated[Paths | None, Field(examples=["corpus/test.txt"])] = None
    """Files, folders or patterns that are the test split, in place of a share; null for none."""

    @model_validator(mode="before")
    @classmethod
    def _files_for_a_share(cls, given: Any) -> Any:
        has_files = isinstance(given, dict) and given.get("test_files") is not None
        return {"test": 0.0, **given} if has_files else given

    @model_validator(mode="after")
    def _one_test(self) -> HashSplit:
        if self.test and self.test_files is not None:
            raise conflict("test_files", "they are the test split; leave data.split.test out")
        return self


class TailSplit(SharesSplit):
    """The text as one stream: its start is train, its end is val, then test."""

    kind: Literal["tail"] = "tail"
    val: Fraction = 0.05
    """Share of the characters of the stream kept for val, which chooses the checkpoint."""
    test: Fraction = 0.0
    """Share of the characters kept for test, after val; 0 for no test split."""


class FilesSplit(Section):
    """Val and test are files of their own; data.path is then train alone."""

    kind: Literal["files"] = "files"
    val: Annotated[Paths, Field(examples=["corpus/val.txt"])]
    """Files, folders or patterns of the val split."""
    test: Annotated[Paths | None, Field(examples=["corpus/test.txt"])] = None
    """Files, folders or patterns of the test split; null for no test split."""


class ColumnSplit(Section):
    """A column or key of each record says which split the record is in."""

    kind: Literal["column"] = "column"
    column: Annotated[Name, Field(examples=["split"])]
    """The column or key that names the split."""
    val: Annotated[Texts, Field(examples=["val"])]
    """Value or values of the column that mean val."""
    test: Annotated[Texts | None, Field(examples=["test"])] = None
    """Value or values of the column that mean test; null for no test split."""
    train: Annotated[Texts | None, Field(examples=["train"])] = None
    """Value or values of the column that mean train; null for every value not named above."""


Split: TypeAlias = Annotated[
    HashSplit | TailSplit | FilesSplit | ColumnSplit, Field(discriminator="kind")
]


class NearDuplicates(Section):
    """Documents that share most of their runs of words; of those alike, one stays."""

    similarity: Annotated[float, Ge(0.1), Le(1), Wanted("a number from 0.1 to 1", "0.8")] = 0.8
    """From which share on of all distinct runs that two documents have in common they are alike.

    This is their Jaccard similarity, estimated by MinHash.
    """
    words: Count = 5
    """Length of a run, in words less their case; fewer for short records.

    A document with fewer words is alike to exact copies alone.
    """


def _is_encoding(name: str) -> str:
    try:
        b"text".decode(name, "replace")  # refuses codecs such as base64, which make no text
    except (LookupError, ValueError):
        hint = "write for example utf-8 or latin-1"
        raise ValueError(f"{name!r} is not an encoding that Python knows; {hint}") from None
    return name


def _is_pattern(text: str) -> str:
    example = r"write for example (?P<label>\S+) (?P<text>.*)"
    try:
        names = re.compile(text).groupindex
    except re.error as e:
        raise ValueError(f"{show(text)} is not a regular expression ({e}); {example}") from None
    if not names:
        raise ValueError(f"{show(text)} has no named parts; {example}")
    return text


class Data(Section):
    """Which text to learn from, how it is read, and what is kept back."""

    path: Annotated[Paths, Field(examples=["corpus/**/*.txt"])]
    """The text: files, folders or patterns, one or a list.

    In a pattern `**` stands for any folders.  Relative paths are looked up from the folder in
    which the command is run.  Files that go together line by line, such as the two sides of a
    translation, are a mapping: {en: corpus.en, de: corpus.de}.
    """
    format: Literal["auto", "text", "json", "jsonl", "csv", "tsv", "parquet"] = "auto"
    """What the files are; auto goes by their names, less .gz and .zst."""
    text: Annotated[Wording, Field(examples=["content"])] = "text"
    """The column or key that holds the text, in files of records (all formats but text).

    Or a text in which {column} stands for the value of one, such as "{title}\\n{body}".
    """
    pattern: Annotated[
        Annotated[Name, AfterValidator(_is_pattern)] | None,
        Wanted("a regular expression, or null", "'(?P<label>\\S+) (?P<text>.*)'"),
    ] = None
    """How each line of a text file is taken apart: a regular expression with (?P<column>...) parts.

    Lines then are records; one that does not match cannot be read.  null for plain text.
    """
    document: Literal["file", "line", "paragraph"] = "file"
    """What one document is in files of format text; a paragraph ends at a blank line."""
    encoding: Annotated[Name, AfterValidator(_is_encoding), Wanted("an encoding", "latin-1")] = (
        "utf-8"
    )
    """How the bytes of text files stand for characters; never guessed."""
    on_bad: Literal["error", "skip"] = "error"
    """What to do with a record that cannot be read: stop, or leave it out and count it."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Whether exact copies of a document that stand in two splits are dropped from one."""
    near_duplicates: NearDuplicates | None = None
    """What near copies are, to leave out all but one, of those in two splits the learned one.

    null keeps them; {} takes the values below.
    """
    max_line: Annotated[Size, Field(examples=["64 MB"])] = 64_000_000
    """The longest line or record that is read; a longer one is an error.  Units: bytes."""
    long: Literal["error", "drop", "cut"] = "error"
    """What to do with an example longer than the context (not with plain text, which goes on).

    Stop; leave it out; or cut off its end (of a conversation or completion: its start).  Counted
    in every case.
    """
    pack: Switch = True
    """Whether several short examples share a row, none seeing another; false pads each to a row."""
    split: Split = HashSplit()
    """How documents are divided among train, val and test."""
    cache: Annotated[str | None, Wanted("a folder, or null", "prepared")] = None
    """Folder of prepared token shards; null for the user's own cache folder."""

    @model_validator(mode="after")
    def _agrees(self) -> Data:
        is_text, takes_apart = self.format in ("auto", "text"), isinstance(self.path, dict)
        if not is_text and (self.pattern is not None or takes_apart):
            key = "pattern" if self.pattern is not None else "path"
            what = f"it is for lines of text, and data.format is {self.format!r}; leave one out"
            raise conflict(key, what)
        if self.pattern is not None and (takes_apart or self.document == "paragraph"):
            other = "a mapping" if takes_apart else "data.document: paragraph"
            raise conflict("pattern", f"takes lines apart, which {other} does not go with")
        if self.format == "text" and self.split.kind == "column" and self.pattern is None:
            hint = "write data.split.kind: hash, or name the format of your files in data.format"
            raise conflict("split.kind", f"files of format text have no columns; {hint}")
        if not is_text and self.document != "file":
            there = f"data.format is {self.format!r}, where each record is a document"
            what = f"{self.document!r} divides files of format text, and {there}"
            raise conflict("document", f"{what}; leave data.document out")
        if self.near_duplicates is not None and self.duplicates == "keep":
            what = "near copies are left out, and exact ones are the nearest; leave this out"
            raise conflict("duplicates", what)
        if isinstance(self.split, FilesSplit):
            self._splits_agree({"split.val": self.split.val, "split.test": self.split.test})
        elif isinstance(self.split, HashSplit):
            self._splits_agree({"split.test_files": self.split.test_files})
        return self

    def _splits_agree(self, files: dict[str, Any]) -> None:
        """Files that go together line by line do so in every split."""
        wanted = set(self.path) if isinstance(self.path, dict) else None
        for key, paths in files.items():
            if paths is not None and wanted != (set(paths) if isinstance(paths, dict) else None):
                columns = f"a mapping of {', '.join(sorted(wanted))}" if wanted else "no mapping"
                raise conflict(key, f"data.path is {columns}; write the same here")


class CharTokenizer(Section):
    """One token for each distinct character of the data."""

    kind: Literal["char"] = "char"


class ByteTokenizer(Section):
    """One token for each byte of UTF-8; reads any text."""

    kind: Literal["byte"] = "byte"


class BpeTokenizer(Section):
    """Byte pair encoding, trained on the train split alone; reads any text."""

    kind: Literal["bpe"] = "bpe"
    vocab: Annotated[
        Annotated[int, Field(ge=257)] | Auto,
        Wanted("a whole number of at least 257 (each byte and one more), or auto", "8192"),
    ] = "auto"
    """Size of the vocabulary; auto grows with the amount of text.  Units: tokens."""


class PretrainedTokenizer(Section):
    """A published tokenizer."""

    kind: Literal["pretrained"] = "pretrained"
    path: Annotated[Name, Field(examples=["path/to/tokenizer.json"])]
    """A tokenizer.json file, or a folder that holds one."""


Tokenizer: TypeAlias = Annotated[
    CharTokenizer | ByteTokenizer | BpeTokenizer | PretrainedTokenizer, Field(discriminator="kind")
]
