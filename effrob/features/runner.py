"""One encoder prepared for a pass: weights in the precision and memory layout that are fastest, float32 features out.

The only place where precision is decided. Weights are cast for the pass and restored after it, so that a text tower, or a
later pass in float32, finds them unchanged.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import TracebackType

import torch
from torch import nn

from effrob.arithmetic import slowdown
from effrob.features.compiled import normalise_batch
from effrob.features.precision import split
from model_zoo.encoder import Encoder

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Bytes of a tensor on a CPU: glibc maps anything over 32 MB anew each time, and its pages are zeroed;
# and two batches at once, beside decoders, share the last cache.
ROOM = 20 << 20
UNKNOWN = 8  # pictures a forward pass on a CPU where the layers cannot be seen
LIBRARIES = ("torch", "torchvision", "timm", "open_clip", "model_zoo")  # their layers keep nothing from call to call
OF_A_USER = ("torch.fx.", "torch.jit.", "torch._dynamo.")  # these run what was traced, scripted or compiled
SLOW = 1.2  # times float32's, from which a precision is called slower
CONVOLUTIONS = 4  # a network with more of them is convolutional, and a third faster with channels last on a CPU


class Network:
    """`with Network(encoder, precision) as network: features = network(batch)`.

    precision  one of `PRECISIONS`; precision_path says how it was reached: `fp32`, `bf16 weights`, or `bf16 autocast` where the
    module is unknown or does not run with cast weights; then `, compiled`.
    """

    def __init__(self, encoder: Encoder, precision: str = "fp32") -> None:
        self.encoder = encoder
        self._arithmetic, self._compiled = split(precision)
        self.dtype = DTYPES[self._arithmetic]
        self.precision_path = self._arithmetic
        self._proved = False  # that what was compiled runs
        self._embed: Callable[[torch.Tensor], torch.Tensor] = encoder.embed
        self._autocast = False
        self._piece = UNKNOWN
        self._shape: int | None = None  # images of every piece, where compiled
        self._fits: int | None = None  # images a batch that a GPU had room for, once it had none for more
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Network:
        encoder, module = self.encoder, self.encoder.module
        if encoder.device.type == "cuda":
            self._undo.enter_context(_full_float32())
        if module is not None and sum(isinstance(layer, nn.Conv2d) for layer in module.modules()) > CONVOLUTIONS:
            module.to(memory_format=torch.channels_last)
        if self.dtype != torch.float32:
            self._autocast = not self._cast()
            self.precision_path = f"{self._arithmetic} {'autocast' if self._autocast else 'weights'}"
        if encoder.device.type == "cpu" and module is not None:
            with contextlib.suppress(Exception):  # reported by its first batch
                self._piece = max(1, ROOM // self._largest(module))
        if self._compiled:
            self._undo.enter_context(_compiled_apart())
            self._embed = torch.compile(encoder.embed, dynamic=False)
            self.precision_path += ", compiled"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._undo.close()

    @property
    def reentrant(self) -> bool:
        """Whether batches may go through it in several threads at once: layers of libraries alone, as those made them."""
        module = self.encoder.module
        return module is not None and not self._compiled and all(_keeps_nothing(layer) for layer in module.modules())

    def _cast(self) -> bool:
        """Cast the module's weights; False, with everything put back, where it does not run that way."""
        module = self.encoder.module
        if module is None:
            return False
        with contextlib.ExitStack() as tried:
            tried.enter_context(weights_as(module, self.dtype))
            blank = torch.zeros(1, 3, *self.encoder.pixels.size, dtype=self.dtype, device=self.encoder.device)
            try:
                with torch.inference_mode():
                    sound = bool(torch.isfinite(self.encoder.embed(blank)).all())
            except Exception:
                sound = False
            if sound:
                self._undo.push(tried.pop_all())
        return sound

    def _largest(self, module: nn.Module) -> int:
        """Bytes of the largest tensor made from one image: its pixels, or a layer's output, at the pass's precision.

        Measured from shapes and not timed, so that the same images are always split in the same way.
        """
        floats = self.encoder.transform is not None or self._autocast  # its pixels are, whatever the precision
        each = torch.float32.itemsize if floats else self.dtype.itemsize
        largest = 3 * each * self.encoder.pixels.size[0] * self.encoder.pixels.size[1]

        def measure(layer: nn.Module, given: object, output: object) -> None:
            nonlocal largest
            if isinstance(output, torch.Tensor):
                largest = max(largest, output.numel() * output.element_size())

        hooks = [layer.register_forward_hook(measure) for layer in module.modules()]
        try:
            with torch.inference_mode():
                self._run(torch.zeros(1, 3, *self.encoder.pixels.size))
        finally:
            for hook in hooks:
                hook.remove()
        return largest

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, H, W, 3) uint8, or (B, 3, H, W) float32 already prepared, on the device -> (B, D) float32 there."""
        size = self._piece if batch.device.type == "cpu" else len(batch)
        if self._compiled:  # every piece of one shape, or each shape is compiled for itself
            self._shape = size = min(size, len(batch)) if self._shape is None else self._shape
        size = min(size, self._fits or size)
        with torch.inference_mode():
            while True:
                try:
                    pieces = [self._filled(piece, size) for piece in torch.split(batch, size)]
                    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
                except torch.cuda.OutOfMemoryError:
                    if size == 1:
                        raise
                size = self._halved(size)  # outside the handler, whose traceback holds the tensors that did not fit

    def _halved(self, size: int) -> int:
        """Half as many images from here on, with a sentence about it."""
        self._fits = -(-size // 2)
        self._shape = None if self._shape is None else self._fits
        torch.cuda.empty_cache()
        print(
            f"{self.encoder.identity.spec}: the GPU has no memory for {size} images at once; from here on {self._fits} "
            f"(--batch-size {self._fits} says so from the start)",
            file=sys.stderr,
        )
        return self._fits

    def _filled(self, piece: torch.Tensor, size: int) -> torch.Tensor:
        """A piece through the network. A compiled one always sees `size` images: where there are fewer, the first one again."""
        if not self._compiled:
            return self._run(piece)
        lacking = size - len(piece)
        full = piece if not lacking else torch.cat([piece, piece[:1].expand(lacking, *piece.shape[1:])])
        try:
            features = self._run(full)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            if self._proved:
                raise
            self._embed = self.encoder.embed  # raises what the network itself raises, if it does
            self._run(full)
            raise RuntimeError(
                f"torch.compile cannot compile it here ({_reason(error)}): leave --compile out, or mend what it says"
            ) from error
        self._proved = True
        return features[: len(piece)]

    def _run(self, piece: torch.Tensor) -> torch.Tensor:
        dtype = torch.float32 if self._autocast else self.dtype
        floats = piece.dtype == torch.float32
        pixels = piece.to(dtype) if floats else normalise_batch(piece, self.encoder.pixels, dtype)
        cast = (
            torch.autocast(self.encoder.device.type, dtype=self.dtype) if self._autocast else contextlib.nullcontext()
        )
        with cast:
            return self._embed(pixels).float()


def slow_precision(precision: str, device: torch.device) -> str | None:
    """A sentence where the processor multiplies more slowly in a precision than in float32; None where it does not."""
    arithmetic = split(precision)[0]
    times = 1.0 if device.type != "cpu" or arithmetic == "fp32" else slowdown(DTYPES[arithmetic])
    if times < SLOW:
        return None
    return (
        f"this processor takes {times:.2g} times as long to multiply in {arithmetic} as in float32: --precision fp32 is the "
        "quicker one here"
    )


def _keeps_nothing(layer: nn.Module) -> bool:
    """Whether a layer is a library's own: not hooked, given no other forward, and not made of code that a user wrote."""
    return (
        type(layer).__module__.partition(".")[0] in LIBRARIES
        and not type(layer).__module__.startswith(OF_A_USER)
        and "forward" not in vars(layer)
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
    )


def _reason(error: Exception) -> str:
    """The line of a compiler's error that says why; the first lines say which layer of the compiler it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line.partition(":")[0] or line.startswith("Invalid")]
    return (named or lines or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def _compiled_apart() -> Iterator[None]:
    """Many networks may be compiled in one pass, though they share their code; what was compiled is forgotten afterwards.

    Without it torch runs a function that was compiled eight times already as it stands, and says so in its log alone.
    """
    known = {name: 1024 for name in ("recompile_limit", "cache_size_limit") if hasattr(torch._dynamo.config, name)}
    with torch._dynamo.config.patch(known):
        try:
            yield
        finally:
            torch.compiler.reset()


@contextlib.contextmanager
def weights_as(module: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """`module` with its weights and buffers in `dtype`, batch norms apart; on leaving, the very tensors it had before.

    Costs half of a float32 model's memory on top. Batch norms keep float32: their running variances span too many decades.
    """
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    try:
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                continue
            for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
                if tensor.is_floating_point() and id(tensor) not in kept:  # tied weights appear twice
                    kept[id(tensor)] = (tensor, tensor.data)
                    tensor.data = tensor.data.to(dtype)
        yield
    finally:
        for tensor, before in kept.values():
            tensor.data = before


@contextlib.contextmanager
def _full_float32() -> Iterator[None]:
    """Convolutions on a GPU in float32 proper: torch's default there is TF32, with ten bits of mantissa."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
