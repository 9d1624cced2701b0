"""The 3D U-Net: MONAI's blocks, each tensor under one name."""

import math
from collections.abc import Sequence

import torch
from monai.networks.nets import DynUNet
from torch import nn

GROUPS = 4
PRIOR = 0.05


class UNet(nn.Module):
    """An encoder, a bottleneck and a decoder with skip connections; group normalisation.

    The blocks and their initial values are those of MONAI's ``DynUNet``, which also registers every
    block a second time under its skip connections. Tensors with two names would travel twice, and
    a strategy could move one and not the other; so they are joined anew here.

    Args:
        filters: Channels of each level; each level but the first halves the resolution.
    """

    def __init__(self, filters: Sequence[int]) -> None:
        super().__init__()
        levels = len(filters)
        net = DynUNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=1,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(filters),
            norm_name=("GROUP", {"num_groups": GROUPS, "affine": True}),
        )
        self.encoder = nn.ModuleList([net.input_block, *net.downsamples])
        self.bottleneck = net.bottleneck
        self.decoder = net.upsamples
        self.output = net.output_block.conv.conv
        # Nodules are rare: start from a low probability and not from a half everywhere (the prior
        # of Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017).
        nn.init.constant_(self.output.bias, math.log(PRIOR / (1 - PRIOR)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the shape of ``x``: (patches, 1, z, y, x)."""
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        x = self.bottleneck(x)
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            x = block(x, skip)
        logits: torch.Tensor = self.output(x)
        return logits
