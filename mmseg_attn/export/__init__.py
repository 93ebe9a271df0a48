"""A segmentor as a file that runs without this package: for ONNX runtimes, or for ``torch.export.load``.

    model = load_model('config.py', 'checkpoint.pth')
    export(model, 'model.onnx', 'onnx', size=(512, 1024))

docs/export.md tells how to run the files.
"""

from .files import FORMATS, Export, export

__all__ = ['FORMATS', 'Export', 'export']
