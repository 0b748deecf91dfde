"""From names, folders and patterns to files."""

from __future__ import annotations

import os

import pytest

from tests.corpora import data_of, write
from wellfit import config
from wellfit.data import find_sources
from wellfit.errors import DataError


def names(path, **fields):
    return [file.path.name for file in find_sources(data_of(path, **fields)).files]


def test_a_folder_gives_its_text_and_record_files_in_a_stable_order(tmp_path):
    for name in ("b.txt", "a.md", "sub/c.py", "d.jsonl.gz", "e.parquet", "f.csv.zst", "g.TXT"):
        write(tmp_path / name, "x")
    # the same on every machine, whatever order the disk lists them in
    found = names(tmp_path)
    assert found == ["a.md", "b.txt", "d.jsonl.gz", "e.parquet", "f.csv.zst", "g.TXT", "c.py"]


def test_what_a_folder_holds_besides_is_counted(tmp_path):
    for name in ("a.txt", "b.png", "c.png", "Makefile", ".hidden.txt", ".git/d.txt"):
        write(tmp_path / name, "x")
    sources = find_sources(data_of(tmp_path))
    # only what is known to be text or records is taken
    assert [file.path.name for file in sources.files] == ["a.txt"]
    # and the rest is told, hidden files apart
    assert sources.ignored == {".png": 2, "no ending": 1}


def test_a_named_format_takes_every_file_of_a_folder(tmp_path):
    for name in ("a.log", "b"):
        write(tmp_path / name, "x")
    # the user knows better than endings do
    assert names(tmp_path, format="text") == ["a.log", "b"]


def test_named_files_and_patterns_are_taken_whatever_their_ending(tmp_path):
    for name in ("train.en", "sub/deep/train.de", "c.txt"):
        write(tmp_path / name, "x")
    # translations are often named by language
    assert names(tmp_path / "train.en") == ["train.en"]
    # ** is any folder
    assert names(tmp_path / "**/train.*") == ["train.de", "train.en"]


def test_the_format_is_read_off_the_name(tmp_path):
    for name in ("a.jsonl", "b.ndjson.gz", "c.csv", "d.tsv.zst", "e.parquet", "f.rs", "g.strange"):
        write(tmp_path / name, "x")
    files = find_sources(data_of(tmp_path / "*")).files
    # records where the ending says so, text for everything else that was named
    assert [(file.format, file.compression) for file in files] == [
        ("jsonl", ""),
        ("jsonl", ".gz"),
        ("csv", ""),
        ("tsv", ".zst"),
        ("parquet", ""),
        ("text", ""),
        ("text", ""),
    ]


def test_a_file_that_is_matched_twice_is_read_once(tmp_path):
    write(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    # a copy of a document would be learned twice
    assert names([tmp_path / "a.txt", tmp_path / "*.txt", tmp_path]) == ["a.txt"]


def test_files_of_val_and_test_are_taken_out_of_train(tmp_path):
    for name in ("train.txt", "valid.txt", "test.txt"):
        write(tmp_path / name, "x")
    split = {
        "kind": "files",
        "val": str(tmp_path / "valid.txt"),
        "test": str(tmp_path / "test.txt"),
    }
    files = find_sources(data_of(tmp_path, split=split)).files
    # so data.path may simply be the folder that holds all three
    assert {file.path.name: file.role for file in files} == {
        "train.txt": "train",
        "valid.txt": "val",
        "test.txt": "test",
    }


def test_a_link_to_a_file_of_val_does_not_make_it_train(tmp_path):
    write(tmp_path / "valid.txt", "x")
    (tmp_path / "train.txt").symlink_to(tmp_path / "valid.txt")
    split = {"kind": "files", "val": str(tmp_path / "valid.txt")}
    files = find_sources(data_of(tmp_path / "train.txt", split=split)).files
    # one file, and val has the stronger claim
    assert [file.role for file in files] == ["val"]


def test_a_name_that_is_not_there_brings_the_nearest(tmp_path):
    write(tmp_path / "corpus/input.txt", "x")
    # a slip in the file
    with pytest.raises(DataError, match=r"Did you mean .*corpus/input.txt\?"):
        find_sources(data_of(tmp_path / "corpus/imput.txt"))
    # or in a folder above it
    with pytest.raises(DataError, match=r"Did you mean .*corpus/input.txt\?"):
        find_sources(data_of(tmp_path / "corpse/input.txt"))
    # nothing near
    with pytest.raises(DataError, match=r"no file or folder .*zzz \(looked from .*data.path"):
        find_sources(data_of(tmp_path / "zzz"))


def test_a_pattern_that_matches_nothing_says_where_it_looked(tmp_path):
    # what was wanted, and from where
    with pytest.raises(DataError, match=r"no file matches .*\*.parquet \(looked from"):
        find_sources(data_of(tmp_path / "*.parquet"))


def test_a_pattern_that_matches_folders_alone_says_how_to_go_into_them(tmp_path):
    write(tmp_path / "corpus-a/x.txt", "x")
    # a slash and two stars are missing
    with pytest.raises(DataError, match=r"matches folders alone.*corpus-\*/\*\*/\*"):
        find_sources(data_of(tmp_path / "corpus-*"))


def test_an_empty_folder_is_an_error(tmp_path):
    # rather than a run on nothing
    with pytest.raises(DataError, match="holds no files"):
        find_sources(data_of(tmp_path))


def test_a_folder_without_text_says_what_it_holds(tmp_path):
    write(tmp_path / "a.png", "x")
    # what there is, and how to name it if it is text after all
    with pytest.raises(DataError, match=r"\(1 .png\).*/\*\*/\*'"):
        find_sources(data_of(tmp_path))


def test_archives_are_refused_with_a_way_out(tmp_path):
    # neither text nor records; reading them as text would train on punctuation
    with pytest.raises(DataError, match="is an archive. Unpack it"):
        find_sources(data_of(write(tmp_path / "a.tar.gz", "x")))


def test_json_files_beside_a_corpus_are_not_part_of_it(tmp_path):
    write(tmp_path / "package.json", "{}")
    write(tmp_path / "a.txt", "x")
    sources = find_sources(data_of(tmp_path))
    # settings mostly; what is passed over is told
    assert [file.path.name for file in sources.files] == ["a.txt"]
    assert sources.ignored == {".json": 1}
    (tmp_path / "a.txt").unlink()
    # where there is nothing else, they are the records
    assert [file.format for file in find_sources(data_of(tmp_path)).files] == ["json"]


def test_files_that_go_together_come_as_one(tmp_path):
    for name in ("1.en", "2.en", "1.de", "2.de"):
        write(tmp_path / name, "x\n")
    data = config.Data(path={"en": str(tmp_path / "*.en"), "de": str(tmp_path / "*.de")})
    sources = find_sources(data)
    # the first of one column with the first of the other
    assert [[p.path.name for p in file.all] for file in sources.files] == [
        ["1.en", "1.de"],
        ["2.en", "2.de"],
    ]
    assert sources.n_bytes == 8
    (tmp_path / "2.de").unlink()
    # and never one without the other
    with pytest.raises(DataError, match="as many for each column, and there are en 2, de 1"):
        find_sources(data)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_an_error(tmp_path):
    write(tmp_path / "open/a.txt", "x")
    (tmp_path / "open/closed").mkdir(mode=0)
    # the part of the corpus behind it would be missing without a word
    with pytest.raises(DataError, match=r"closed cannot be read: Permission denied"):
        find_sources(data_of(tmp_path))


def test_something_that_is_no_file_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    # reading is done twice, which a pipe does not survive
    with pytest.raises(DataError, match="neither a file nor a folder"):
        find_sources(data_of(tmp_path / "pipe"))
