"""Files that options name belong to what names a result; words that happen to be a folder's name do not."""

from prunebench.option_files import named_files
from prunebench.registry import collect


def test_a_folder_that_bears_the_word_of_a_default_is_none_of_the_method(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "record.json").write_text("{}")
    assert named_files(collect().method("scorer", "grand")) == {}  # parameters="all"
    assert named_files(collect().method("scorer", "zcore(encoder=all)")).keys() == {"encoder"}


def test_what_a_named_folder_holds_counts_also_inside_a_combinator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mydit").mkdir()
    weights = tmp_path / "mydit" / "weights.safetensors"
    weights.write_bytes(b"1")
    registry = collect()
    first = named_files(registry.method("scorer", "drd(model='mydit')"))
    weights.write_bytes(b"2")
    assert first.keys() == {"model"} and first != named_files(registry.method("scorer", "drd(model='mydit')"))
    inside = named_files(registry.method("selector", "per_class(window(order=mydit))"))
    assert inside.keys() == {"inner order"}
