"""The objective (Eq. 1): pixel-wise softmax and cross entropy, weighted pixel by pixel."""

import torch
import torch.nn.functional as F

REDUCTIONS = ("sum", "mean", "weight-normalized")


def weighted_cross_entropy(logits, target, weight=None, *, reduction="mean", ignore_index=-1):
    """Cross entropy of the pixel-wise softmax, weighted per pixel (Eq. 1, with the minus it is printed without).

    The softmax is inside: give logits, never probabilities. Computed in float32 or better, also for
    logits of half precision.

    Parameters
    ----------
    logits : (N, K, H, W) floating-point tensor
    target : (N, H, W) integer tensor of classes 0 .. K - 1, or `ignore_index`
    weight : (N, H, W) tensor of w(x) >= 0; None weighs every pixel 1
    reduction : "sum" (Eq. 1), "mean" (sum over the number of pixels not ignored), or
        "weight-normalized" (sum over the sum of their weights, as the authors' code)
    ignore_index : target of pixels that count nothing, neither in the sum nor in the number

    Returns
    -------
    scalar tensor; 0 if every pixel is ignored

    Raises
    ------
    ValueError : shapes that do not fit, an unknown reduction, classes outside 0 .. K - 1. On a CUDA
        device classes are checked by an asynchronous assert instead, so that no step waits
    TypeError : classes that are no integers
    """
    if logits.ndim != 4 or target.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"logits {tuple(logits.shape)}, target {tuple(target.shape)}: must be (N, K, H, W) and (N, H, W);"
            " crop the target to the logits' size"
        )
    if weight is not None and weight.shape != target.shape:
        raise ValueError(
            f"weight {tuple(weight.shape)}: must have the target's shape {tuple(target.shape)}"
        )
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r}: must be one of {', '.join(REDUCTIONS)}")
    if target.is_floating_point() or target.is_complex():
        raise TypeError(f"target.dtype={target.dtype}: classes are integers; use target.long()")
    target = target.long()
    known = target != ignore_index
    if target.device.type == "cpu":
        _check_classes(target[known], logits.shape[1])
    loss = F.cross_entropy(
        logits.to(torch.promote_types(logits.dtype, torch.float32)),
        target, ignore_index=ignore_index, reduction="none",
    )  # (N, H, W), 0 where ignored  # fmt: skip
    weight = known.to(loss.dtype) if weight is None else torch.where(known, weight, 0).to(loss.dtype)
    total = (weight * loss).sum()
    if reduction == "sum":
        return total
    count = known.sum() if reduction == "mean" else weight.sum()
    return total / torch.where(count > 0, count, 1)


def _check_classes(classes, num_classes):
    if classes.numel() and not (classes.min() >= 0 and classes.max() < num_classes):
        wrong = classes[(classes < 0) | (classes >= num_classes)][0].item()
        raise ValueError(f"target holds class {wrong}: the logits have classes 0 to {num_classes - 1}")
