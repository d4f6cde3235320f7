"""What a user types for a model is taken apart and put together again without loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import ModelError
from model_zoo.pixels import PixelSpec, parse_pixels
from model_zoo.spec import ModelSpec, parse

names = st.text(st.characters(codec="utf-8", exclude_characters="@:\n\r\0", exclude_categories=("Z", "C")), min_size=1)
weights = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1))


@given(st.sampled_from(["", "openclip", "timm", "my-scheme2"]), names, weights)
def test_parse_and_str_are_inverse(scheme: str, name: str, tag: str | None) -> None:
    spec = ModelSpec(scheme, name, tag)
    assert parse(str(spec)) == spec


@pytest.mark.parametrize("text", ["", "openclip:", "openclip:ViT-B-32@", "@tag", "Open Clip:x", "../x:y"])
def test_what_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        parse(text)


def test_weights_may_hold_colons_and_ats() -> None:
    assert parse("openclip:a@C:/x@y.pt") == ModelSpec("openclip", "a", "C:/x@y.pt")


def test_pixels_as_the_interface_writes_them() -> None:
    text = "resize=256,crop=224,interpolation=bilinear,mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
    assert parse_pixels(text) == PixelSpec((224, 224), (256, 256), interpolation="bilinear")


def test_one_value_stands_for_three_and_sizes_may_differ() -> None:
    spec = parse_pixels("crop=224x192,mode=squash,interpolation=bicubic,mean=0.5,std=0.5")
    assert (spec.size, spec.resize, spec.mean, spec.mode) == ((224, 192), (224, 192), (0.5, 0.5, 0.5), "squash")


def test_keys_left_out_are_the_bases() -> None:
    base = PixelSpec((224, 224), (256, 256), mean=(0.1, 0.2, 0.3))
    assert parse_pixels("interpolation=bilinear", base) == PixelSpec(
        (224, 224), (256, 256), interpolation="bilinear", mean=(0.1, 0.2, 0.3)
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("crop=224", "must say interpolation, mean, std"),
        ("rezise=256", "near: resize"),
        ("crop", "has no value"),
        ("crop=big", "a size in pixels"),
        ("crop=0", "a size in pixels"),
        ("crop=1x2x3", "a size in pixels"),
        ("crop=224,crop=224", "twice"),
        ("interpolation=bilinaer", "near: bilinear"),
        ("mean=0.5/0.5", "one number or three"),
        ("mean=nan", "one number or three"),
        ("fill=256", "grey level"),
        ("crop=224,interpolation=bilinear,mean=0.5,std=0", "std must be positive"),
    ],
)
def test_pixels_that_cannot_be_read_say_why(text: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        parse_pixels(text)


@given(
    st.builds(
        PixelSpec,
        size=st.tuples(st.integers(1, 999), st.integers(1, 999)),
        resize=st.tuples(st.integers(1, 999), st.integers(1, 999)),
        mode=st.sampled_from(["shortest", "squash", "longest", "none"]),
        interpolation=st.sampled_from(["bicubic", "bilinear", "lanczos"]),
        mean=st.tuples(*[st.floats(0, 1)] * 3),
        fill=st.integers(0, 255),
    )
)
def test_pixels_survive_json(spec: PixelSpec) -> None:
    import json

    again = PixelSpec.from_json(json.loads(json.dumps(spec.as_json())))
    assert again == spec
    assert again.digest() == spec.digest()
