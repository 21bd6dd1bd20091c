"""Where encoders compute: names of devices, and how encoders and batches come to them.

Torch is imported late, because the help of commands needs the names alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

if TYPE_CHECKING:
    import torch

    from moe_mat.encoders.base import Encoder

Device = Literal["auto", "cpu", "cuda"]

AnyEncoder = TypeVar("AnyEncoder", bound="Encoder")


def choose_device(name: Device) -> torch.device:
    """The device of a name; ``auto`` is a GPU where torch finds one, and the CPU elsewhere.

    Which of several GPUs it is, the environment variable ``CUDA_VISIBLE_DEVICES`` says.

    Raises:
        ValueError: When there is no device of this name, or torch finds no GPU.
    """
    import torch

    if name not in get_args(Device):
        raise ValueError(f"there is no device {name!r}: it is {', '.join(get_args(Device))}")
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        reason = "is a build for CPUs" if torch.version.cuda is None and torch.version.hip is None else "finds no GPU"
        raise ValueError(
            f"device cuda cannot be had, because torch {torch.__version__} {reason}: use cpu, or auto, which takes a "
            "GPU where there is one"
        )
    return torch.device("cuda" if found and name != "cpu" else "cpu")


def placed(encoder: AnyEncoder, device: torch.device) -> AnyEncoder:
    """The encoder, on a device if it can compute there; others stay on the CPU, such as descriptors."""
    return encoder.to(device) if encoder.moves else encoder


def beside(encoder: Encoder, batch: Any) -> Any:
    """A batch that is on the CPU, on the device of an encoder."""
    device = encoder.device
    return batch if device.type == "cpu" else batch.to(device)
