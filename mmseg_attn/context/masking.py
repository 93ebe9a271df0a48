"""Counterfactual images: the pixels of one class replaced by something that says nothing."""

import cv2
import numpy as np

FILLS = 'mean', 'blur', 'noise'
# Of the side of the image: wide enough that nothing of an object is left.
BLUR_RATIO = 0.1


def replace(pixels: np.ndarray, mask: np.ndarray, fill: str, seed: int = 0) -> np.ndarray:
    """A copy of an image (H, W) or (H, W, C) with the pixels of ``mask`` (H, W) replaced.

    Args:
        fill: 'mean', the mean of the other pixels (of all where there are no others); 'blur', a Gaussian of 10 % of
            the longer side, into which the other pixels alone go; or 'noise' of the mean and standard deviation of each
            channel.
        seed: of the noise.
    """
    others = pixels[~mask] if not mask.all() else pixels.reshape(-1, *pixels.shape[2:])
    found = pixels.astype(np.float64)
    if fill == 'mean':
        found[mask] = others.mean(axis=0)
    elif fill == 'noise':
        shape = found[mask].shape
        found[mask] = np.random.default_rng(seed).normal(others.mean(axis=0), others.std(axis=0), shape)
    else:
        sigma = BLUR_RATIO * max(mask.shape)
        keep = (~mask).astype(np.float64)
        weight = cv2.GaussianBlur(keep, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        kept = found * keep.reshape(*keep.shape, *(1, ) * (found.ndim - 2))
        blurred = cv2.GaussianBlur(kept, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        weight = weight.reshape(*weight.shape, *(1, ) * (found.ndim - 2))
        blurred = blurred.reshape(found.shape) / np.maximum(weight, 1e-9)
        far = np.broadcast_to(weight < 1e-9, found.shape)
        blurred = np.where(far, others.mean(axis=0), blurred)
        found[mask] = blurred[mask]
    if np.issubdtype(pixels.dtype, np.integer):
        limits = np.iinfo(pixels.dtype)
        found = np.clip(np.rint(found), limits.min, limits.max)
    return found.astype(pixels.dtype)
