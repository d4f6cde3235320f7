"""Cards of every published row: what names and tables say, with a source for each set, and null for the rest."""

from __future__ import annotations

import pytest

from model_zoo.cards import ModelCard, card_of_published, card_of_spec, training_sets
from model_zoo.published import largest_sizes, published, sources
from model_zoo.registration import Registration


def _cards(source: str) -> dict[str, ModelCard]:
    return {row.model: card_of_published(row) for row in published(source)}


@pytest.mark.parametrize("source", sources())
def test_every_published_row_has_a_card_with_sources_and_one_ending(source: str) -> None:
    for row in largest_sizes(published(source)):
        card = card_of_published(row)
        assert card.loss or source == "papers", row.model  # a name in a paper's table says little
        assert (card.trained_on is None) == (card.supervision is None)
        assert len(card.sources) == 1 or card.trained_on
        if row.training_data == "in1k":
            assert card.lineage in ("labels", None), row.model
        if row.training_data == "more_data" and card.trained_on:
            assert card.lineage != "labels", row.model


def test_known_cards() -> None:
    openclip, timm, testbed = _cards("openclip"), _cards("timm"), _cards("testbed")
    laion = openclip["openclip:ViT-B-32@laion2b_s34b_b79k"]
    assert (laion.trained_on, laion.samples_seen, laion.loss) == ("LAION-2B-en", 34_000_000_000, "contrastive")
    assert laion.image_tower == "ViT-B-32" and laion.supervision == "captions"
    assert openclip["openclip:RN50-quickgelu@yfcc15m"].images == 14_829_396
    assert openclip["openclip:ViT-B-16-SigLIP@webli"].loss == "pairwise sigmoid"
    assert openclip["openclip:coca_ViT-B-32@laion2b_s13b_b90k"].loss == "contrastive and captioning"
    tuned = timm["vit_base_patch32_clip_224.openai_ft_in1k"]
    assert tuned.lineage == "captions, then labels" and tuned.images == 400_000_000
    assert timm["resnet50.a1_in1k"].trained_on == "ImageNet-1k"
    assert timm["convnextv2_base.fcmae_ft_in22k_in1k"].supervision == "none, then labels"
    assert testbed["resnet50_swav"].supervision == "none, then labels"
    assert testbed["resnet50_augmix"].robust and not testbed["resnet50"].robust
    assert testbed["instagram-resnext101_32x8d"].trained_on == "Instagram hashtags (IG-1B), then ImageNet-1k"


def test_what_no_source_states_is_null() -> None:
    openclip, timm = _cards("openclip"), _cards("timm")
    assert openclip["openclip:nllb-clip-base@v1"].trained_on is None
    assert openclip["openclip:ViT-B-16@commonpool_l_clip_s1b_b8k"].images is None
    assert openclip["openclip:ViT-B-32@openai"].samples_seen is None
    assert timm["beit3_base_patch16_224.in22k_ft_in1k"].trained_on is None
    assert timm["hgnet_base.ssld_in1k"].lineage is None
    unknown = card_of_spec("transformers:someone/some-net")
    assert unknown == ModelCard("transformers:someone/some-net", sources=("the model's name",))


def test_a_file_of_weights_is_not_what_its_tag_was_trained_on() -> None:
    assert card_of_spec("timm:resnet50.a1_in1k").trained_on == "ImageNet-1k"
    assert card_of_spec("timm:resnet50.a1_in1k@mine.pth").trained_on is None
    assert card_of_spec("openclip:ViT-B-32@runs/epoch_32.pt").trained_on is None


def test_a_registered_model_is_described_by_its_owner() -> None:
    record = Registration(
        "mine", arch="ViT-B-32", checkpoint="/w.pt", trained_on="CC12M", images=7, supervision="captions"
    )
    card = card_of_spec("mine", record)
    assert (card.trained_on, card.images, card.lineage, card.image_tower) == ("CC12M", 7, "captions", "ViT-B-32")
    assert card.sources == ("as registered",)


def test_every_training_set_names_its_source() -> None:
    for name, each in training_sets().items():
        assert each.source and each.title, name
        assert each.images is None or each.images > 0
