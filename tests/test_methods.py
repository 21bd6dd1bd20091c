"""Method cards: sound, explained where they are not, and the same whatever file holds their code."""

from pathlib import Path

import pytest
from toy_benchmark import write_method
from toy_experts import cgcnn_expert

from benchmarks.cells.results import RESULTS, read_result
from benchmarks.methods import cards
from benchmarks.methods.cards import list_methods, load_method


def test_method_cards_are_sound(tmp_path):
    cgcnn_expert(tmp_path / "experts", "toy_a")
    cgcnn_expert(tmp_path / "experts", "toy_b", seed=1)
    experts = [str(tmp_path / "experts")]
    assert {"median", "rf-magpie", "stl", "tl", "concat", "ensemble", "moe-published", "moe"} <= set(list_methods())
    for name in list_methods():
        method = load_method("tl:best" if name == "tl" else name, experts=experts)
        method.load()
        assert method.title
    assert len(load_method("moe-published", experts=experts).experts) == 2
    assert load_method("rf-magpie", experts=experts).experts == ("magpie",)
    one = load_method("tl:toy_b", experts=experts)
    assert (one.name, [Path(expert).stem for expert in one.experts]) == ("tl:toy_b", ["toy_b"])
    assert one.digest != load_method("tl:toy_a", experts=experts).digest


@pytest.mark.parametrize(
    ("name", "said"),
    [("mow", "moe"), ("tl", "tl:best"), ("moe:best", "no expert"), ("tl:nothing", "no expert 'nothing'")],
)
def test_wrong_method_is_explained(tmp_path, name, said):
    cgcnn_expert(tmp_path / "experts", "toy_a")
    with pytest.raises(ValueError, match=said):
        load_method(name, experts=[str(tmp_path / "experts")])


@pytest.mark.parametrize("text", ["experts: [a?]", "just words", ""])
def test_a_broken_method_card_is_named(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.yaml is no"):
        load_method(str(path))
    path.write_text(f"{{method: mine, title: mine, kind: {__name__}:run, settings_of: finetun}}")
    with pytest.raises(ValueError, match="There is no method 'finetun'; there is finetune"):
        load_method(str(path))
    path.write_text(f"{{method: mine, title: mine, kind: {__name__}:run, settings_of: moma-full}}")
    with pytest.raises(ValueError, match="names moma-full, which has those of finetune: name that card"):
        load_method(str(path))


@pytest.mark.parametrize("name", ["median", "stl"])
def test_committed_cells_stay_valid_wherever_the_code_of_their_method_lies(name, monkeypatch):
    committed = read_result(RESULTS / name / "mp_phonons.0.0.json")
    monkeypatch.setattr(cards, "KINDS", dict.fromkeys(cards.KINDS, "another.module:function"))
    assert load_method(name).digest == committed["method_digest"]


def test_an_unknown_kind_is_explained(tmp_path):
    with pytest.raises(ValueError, match=r"mine\.yaml: there is no kind 'mixtur'; there is mixture"):
        load_method(write_method(tmp_path, "mine", kind="mixtur"))
