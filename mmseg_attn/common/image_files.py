"""Decodes image files down to the last pixel, and says what is wrong with a damaged one."""

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

OPENCV_FORMATS = frozenset({'PNG', 'JPEG', 'BMP', 'TIFF', 'WEBP', 'PPM'})  # mmseg reads images by it
EIGHT_BIT_MODES = ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'CMYK', 'YCbCr')  # of Pillow
TIFF = b'II*\0', b'MM\0*'
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.pgm', '.ppm')


class ImageFileError(ValueError):
    """An image file that cannot be used. ``missing`` tells an absent one from a damaged one, ``other`` a whole one."""

    def __init__(self, reason: str, missing: bool = False, other: bool = False):
        super().__init__(reason)
        self.missing = missing
        self.other = other


def read_bytes(path: str, backend_args: dict | None = None) -> bytes:
    """
    Raises:
        ImageFileError: the file is missing, empty or cannot be read.
    """
    try:
        data = bytes_of(path, backend_args)
    except FileNotFoundError as error:
        raise ImageFileError('does not exist' + hint_at(Path(path)), missing=True) from error
    except OSError as error:
        raise ImageFileError(reason_of(error)) from error
    if not data:
        raise ImageFileError('is empty')
    return data


def bytes_of(path: str, backend_args: dict | None = None) -> bytes:
    if backend_args or '://' in path:
        from mmengine import fileio
        return fileio.get(path, backend_args=backend_args)
    return Path(path).read_bytes()


def decode(data: bytes) -> Image.Image:
    """Raises whatever Pillow comes across where the image is damaged; OpenCV alone would fill it with grey."""
    image = Image.open(io.BytesIO(data))
    if image.format == 'PNG':
        image.verify()  # finds what decoding overlooks: a missing end
        image = Image.open(io.BytesIO(data))
    image.load()
    return image


def image_size(data: bytes, color_type: str = 'color') -> tuple[tuple[int, int], bool]:
    """(width, height) of an image that OpenCV can read, turned as its EXIF orientation says, and whether it is turned.

    Args:
        data: of the file.
        color_type: how mmcv's LoadImageFromFile has OpenCV read it, which decides what kinds of pixels it takes.

    Raises:
        ImageFileError: it cannot be read, or is damaged.
    """
    try:
        image = decode(data)
    except UnidentifiedImageError as error:
        size = _size_by_opencv(data, color_type)
        if size is None:
            other = what_else(data)
            raise ImageFileError(other or reason_of(error), other=bool(other)) from error
        return size, False
    except Exception as error:  # decoders raise whatever they come across
        raise ImageFileError(reason_of(error)) from error
    if image.format not in OPENCV_FORMATS and _size_by_opencv(data, color_type) is None:
        raise ImageFileError(f'is {image.format}, which OpenCV cannot read', other=True)
    if image.mode in ('F', 'I') and _size_by_opencv(data, color_type) is None:
        values = 'floats' if image.mode == 'F' else 'numbers of 32 bits'
        raise ImageFileError(
            f"has {values}, which OpenCV cannot read: imdecode_backend='tifffile' of LoadImageFromFile may"
            if color_type == 'unchanged' else _only_unchanged(values), other=True)
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (image.size[::-1] if turned else image.size), turned


def what_else(data: bytes) -> str | None:
    """What a file is that is no image, if that can be told."""
    if data.startswith(b'\x93NUMPY'):
        return 'is an array of NumPy, which only a transform of your own loads'
    if not data.startswith(TIFF):
        return None
    import cv2
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return None
    return _only_unchanged('floats' if pixels.dtype.kind == 'f' else f'values of {pixels.dtype}')


def is_deep(data: bytes) -> bool:
    """Whether a PNG or TIFF has more than 8 bits for each value."""
    if data.startswith(b'\x89PNG'):
        return data[24:25] == b'\x10'
    if not data.startswith(TIFF):
        return False
    try:
        bits = Image.open(io.BytesIO(data)).tag_v2.get(ExifTags.Base.BitsPerSample, (1,))  # type: ignore[attr-defined]
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    except UnidentifiedImageError:
        import cv2
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return pixels is not None and pixels.dtype.itemsize > 1


def number_of_pages(data: bytes) -> int:
    """Of a TIFF, without thumbnails and overviews; 1 of all else."""
    if not data.startswith(TIFF):
        return 1
    try:
        image = Image.open(io.BytesIO(data))
        pages = 0
        for i in range(getattr(image, 'n_frames', 1)):
            image.seek(i)
            pages += not image.tag_v2.get(ExifTags.Base.NewSubfileType, 0) & 1  # type: ignore[attr-defined]
        return max(pages, 1)
    except Exception:  # of a kind that Pillow does not know
        return 1


def reason_of(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return 'is no image that Pillow can read'
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _only_unchanged(values: str) -> str:
    return f"has {values}, which OpenCV reads only with color_type='unchanged' of LoadImageFromFile"


def _size_by_opencv(data: bytes, color_type: str = 'color') -> tuple[int, int] | None:
    """For the few formats and kinds of pixels that only OpenCV reads. It gives nothing where part of one is missing."""
    import cv2
    flag = {'unchanged': cv2.IMREAD_UNCHANGED, 'grayscale': cv2.IMREAD_GRAYSCALE,
            'grayscale_ignore_orientation': cv2.IMREAD_GRAYSCALE}.get(color_type, cv2.IMREAD_COLOR)
    array = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    return None if array is None else array.shape[1::-1]


def hint_at(path: Path) -> str:
    """What is there instead of a missing file: another suffix, or not even the folder."""
    if not path.parent.is_dir():
        return f': there is no folder {path.parent}'
    spelt = [spelling for suffix in IMAGE_SUFFIXES for spelling in (suffix, suffix.upper())]
    near = [path.stem + suffix for suffix in spelt if (path.parent / (path.stem + suffix)).is_file()]
    return f'; there is {", ".join(near)}' if near else ''
