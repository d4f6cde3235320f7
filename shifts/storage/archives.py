"""The official archives: addresses, sizes, checksums, and the steps that are left to the user.

Addresses are the authors' own. Checksums of ImageNetV2 and ImageNet-Sketch are those of the TensorFlow Datasets catalogue,
ImageNet's are torchvision's; where no checksum is published the size alone is known, or nothing. Downloads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shifts.errors import DataMissing
from shifts.layout import LAYOUTS, SAME_FILES, set_hint
from shifts.storage.fetch import RemoteFile


@dataclass(frozen=True)
class Archive:
    """One set's archive.

    file     its place under the data folder
    url      the authors' address; None where they give it to registered people only
    by_hand  what the user has to do: where the archive is had from, or what follows the download
    """

    file: str
    url: str | None
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    by_hand: str | None = None

    def wanted(self, mirror: str | None) -> RemoteFile:
        """The file as it is fetched from the official address, or from a mirror: an address, a folder, or the file itself."""
        url = self.url
        if mirror is not None:
            name = Path(self.file).name
            whole = mirror if mirror.endswith(name) else f"{mirror.rstrip('/')}/{name}"
            url = whole if urlsplit(mirror).scheme in ("http", "https") else str(Path(whole).expanduser().absolute())
        if url is None:
            raise DataMissing(f"{self.by_hand}, or name a --mirror that holds {Path(self.file).name}")
        return RemoteFile(url, self.size, self.sha256, self.md5)


_V2 = "https://s3-us-west-2.amazonaws.com/imagenetv2public/"
_HENDRYCKS = "https://people.eecs.berkeley.edu/~hendrycks/"
_IMAGENET = "image-net.org gives it to registered people: download {0} there, put it in the data folder as {0}"

ARCHIVES: Mapping[str, Archive] = {
    "imagenet": Archive(
        "ILSVRC2012_img_val.tar",
        None,
        size=6_744_924_160,
        md5="29b22e2961454d5413ddabcf34fc5622",
        by_hand=_IMAGENET.format("ILSVRC2012_img_val.tar"),
    ),
    "imagenet-train": Archive(
        "ILSVRC2012_img_train.tar",
        None,
        md5="1d675b47d978889d74fa0da5fadfb00e",
        by_hand=_IMAGENET.format("ILSVRC2012_img_train.tar"),
    ),
    "imagenet-v2": Archive(
        "imagenetv2-matched-frequency.tar.gz",
        _V2 + "imagenetv2-matched-frequency.tar.gz",
        size=1_253_959_680,
        sha256="a32004f9e773279307499059d320336a23ccdc62cb32063da29bae9bd04c122c",
    ),
    "imagenet-v2-threshold-0.7": Archive(
        "imagenetv2-threshold0.7.tar.gz",
        _V2 + "imagenetv2-threshold0.7.tar.gz",
        size=605_399_040,
        sha256="bf2e2d9b625ae29c6e44982928f36220af62359b74602a995518a06840d0d76e",
    ),
    "imagenet-v2-top-images": Archive(
        "imagenetv2-topimages.tar.gz",
        _V2 + "imagenetv2-topimages.tar.gz",
        size=606_351_360,
        sha256="1ced1ef684934a84af854658bc8ff9adbbec553631e6eef3535ef816c3d3b98f",
    ),
    "imagenet-r": Archive(
        "imagenet-r.tar",
        _HENDRYCKS + "imagenet-r.tar",
        size=2_191_079_936,
        sha256="18c6bf493b39a0d975d48e587437f562caab9c52ae6327dcfa9dd8eb54aa1b52",
    ),
    "imagenet-a": Archive(
        "imagenet-a.tar",
        _HENDRYCKS + "imagenet-a.tar",
        size=687_552_512,
        sha256="3bb3632277e6ba6392ea64c02ddbf4dd2266c9caffd6bc09c9656d28f012589e",
    ),
    "imagenet-sketch": Archive(
        "ImageNet-Sketch.zip",
        "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/ImageNet-Sketch.zip",
        size=7_593_573_012,
        sha256="4d3ce6b82a7c48aabf14aeac105eb533e75707f152cc858f55bfc022031a72ed",
    ),
    "objectnet": Archive(
        "objectnet-1.0.zip",
        "https://objectnet.dev/downloads/objectnet-1.0.zip",
        by_hand="it is encrypted: unpack it there with `unzip objectnet-1.0.zip` and the password "
        "objectnet.dev gives with the terms",
    ),
}


def archive_of(name: str) -> Archive:
    """A set's official archive; DataMissing names the near matches."""
    held = SAME_FILES.get(name, name)
    if held not in ARCHIVES:
        raise DataMissing(f"there is no archive of {name!r}; {set_hint(name, LAYOUTS)}")
    return ARCHIVES[held]
