"""Models by their id: fetched once, safe files only, and never instead of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from wellfit.errors import ConfigError
from wellfit.tokenizer import local_folder

hub = pytest.importorskip("huggingface_hub")


def test_an_id_is_fetched_with_nothing_that_runs_code(tmp_path, monkeypatch):
    calls = []

    def fetched(repo_id: str, *, allow_patterns: list[str]) -> str:
        calls.append((repo_id, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", fetched)
    # into the library's own cache: no folder is named
    assert local_folder("someone/tiny-model") == tmp_path
    ((repo_id, patterns),) = calls
    assert repo_id == "someone/tiny-model"
    # settings, tokenizer, weights
    assert sorted(patterns) == ["*.jinja", "*.json", "*.safetensors"]


def test_what_lies_here_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "snapshot_download", lambda *a, **k: pytest.fail("asked the hub"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "someone" / "model").mkdir(parents=True)
    # a folder of that name comes first
    assert local_folder("someone/model") == Path("someone/model")
    # and these can be no id
    for path in ("/no/such/folder", "../model", "a/b/c", "tokenizer.json", "a/tokenizer.json"):
        assert local_folder(path) == Path(path)


def test_an_id_that_the_hub_does_not_give_says_what_to_check():
    # the tests ask no hub (HF_HUB_OFFLINE), so nothing is there
    with pytest.raises(ConfigError, match=r"nobody/nothing: there is no such folder.*spelling"):
        local_folder("nobody/nothing")
