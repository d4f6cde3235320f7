"""Tiny models of transformers with random weights, saved as save_pretrained saves them: two towers, backbones, classifiers."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

import torch

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
WORDS = re.findall(
    r"\S+",
    "a photo of drawing the dog cat bird red small bicycle long astonishingly description one that sits on wire . big",
)


def tokenizer(context: int, mask: bool) -> Any:
    """A tokenizer of whole words; with `mask` it gives an attention mask."""
    import tokenizers
    import transformers

    vocabulary = {word: place for place, word in enumerate(["<pad>", "<unk>", "</s>", *WORDS])}
    known = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    known.normalizer = tokenizers.normalizers.Lowercase()
    known.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    known.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    names = ["input_ids", "attention_mask"] if mask else ["input_ids"]
    marks = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=known, model_max_length=context, model_input_names=names, **marks
    )


def square() -> Any:
    """A grey picture of 32x32."""
    from PIL import Image

    return Image.new("RGB", (32, 32), (90, 120, 150))


def gemma(kind: str = "GemmaTokenizer", **how: Any) -> Any:
    """SigLIP 2's tokenizer of letters: no beginning, an end, padding on the right, no mask, as its conversion saves it."""
    import transformers

    letters = dict.fromkeys(string.ascii_letters + string.digits + ".,\u2581")
    vocabulary = {piece: place for place, piece in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters])}
    saved = {"add_bos_token": False, "add_eos_token": True, "padding_side": "right", "do_lower_case": True}
    saved |= {"model_input_names": ["input_ids"], "model_max_length": 10**30}
    return getattr(transformers, kind)(vocab=vocabulary, merges=[], **{**saved, **how})


def towers(kind: str) -> tuple[Any, Any, Any]:
    """(model, tokenizer, image processor) of clip, siglip, siglip2 (fixed resolution), align, altclip."""
    import transformers as t

    torch.manual_seed(0)
    image = {"image_size": 32, "patch_size": 8}
    words = {"vocab_size": len(WORDS) + 3, "max_position_embeddings": 16}
    marks = {"eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
    if kind == "clip":
        config = t.CLIPConfig(
            text_config={**TOWER, **words, **marks}, vision_config={**TOWER, **image}, projection_dim=16
        )
        processor = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        return t.CLIPModel(config), tokenizer(16, True), processor
    if kind == "siglip":
        words |= {**marks, "max_position_embeddings": 64}
        config = t.SiglipConfig(text_config={**TOWER, **words}, vision_config={**TOWER, **image})
        return t.SiglipModel(config), tokenizer(64, False), t.SiglipImageProcessor(size={"height": 32, "width": 32})
    if kind == "siglip2":
        words = {"vocab_size": len(gemma()), "max_position_embeddings": 64, "bos_token_id": 2, "eos_token_id": 1}
        config = t.SiglipConfig(text_config={**TOWER, **words, "pad_token_id": 0}, vision_config={**TOWER, **image})
        return t.SiglipModel(config), gemma(), t.SiglipImageProcessor(size={"height": 32, "width": 32})
    if kind == "align":
        vision = {"width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 32, "image_size": 32}
        config = t.AlignConfig(text_config={**TOWER, **words, **marks}, vision_config=vision, projection_dim=32)
        processor = t.EfficientNetImageProcessor(
            size={"height": 40, "width": 40}, do_center_crop=True, crop_size={"height": 32, "width": 32}
        )
        model = t.AlignModel(config)
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d):  # the default's small weights vanish over the layers
                torch.nn.init.kaiming_normal_(layer.weight)
        return model, tokenizer(16, True), processor
    assert kind == "altclip"
    text = {**TOWER, **words, "pad_token_id": 0, "max_position_embeddings": 20, "project_dim": 16}
    config = t.AltCLIPConfig(text_config=text, vision_config={**TOWER, **image}, projection_dim=16)
    processor = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return t.AltCLIPModel(config), tokenizer(16, True), processor


def backbone(kind: str) -> tuple[Any, Any]:
    """(model, image processor) of dinov2, dinov3, vit, vit_mae, swin, convnext."""
    import transformers as t

    torch.manual_seed(0)
    size = {"image_size": 32, "patch_size": 8}
    square = t.ViTImageProcessor(size={"height": 32, "width": 32})
    if kind == "dinov2":
        bit = t.BitImageProcessor(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32})
        return t.Dinov2Model(t.Dinov2Config(**TOWER, **size)), bit
    if kind == "dinov3":
        return t.DINOv3ViTModel(t.DINOv3ViTConfig(**TOWER, **size, num_register_tokens=2)), square
    if kind == "vit":
        return t.ViTModel(t.ViTConfig(**TOWER, **size), add_pooling_layer=False), square
    if kind == "vit_mae":
        decoder = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
        return t.ViTMAEForPreTraining(t.ViTMAEConfig(**TOWER, **size, **decoder, decoder_intermediate_size=32)), square
    if kind == "swin":
        swin = t.SwinConfig(image_size=32, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4)
        return t.SwinModel(swin), square
    assert kind == "convnext"
    return t.ConvNextModel(t.ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1])), square


def save(folder: Path, *parts: Any) -> Path:
    """Every part into one folder."""
    for part in parts:
        if part is not None:
            part.eval() if hasattr(part, "eval") else None
            part.save_pretrained(folder)
    return folder
