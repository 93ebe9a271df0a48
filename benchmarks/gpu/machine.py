"""What the machine is, and whether all that a run needs can be imported. Its last line says what is missing."""

import json
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

NEEDED = ('torch', 'numpy', 'cv2', 'rich', 'mmengine', 'mmcv', 'mmseg', 'mmseg_attn.registered', 'pytest', 'xdist',
          'hypothesis', 'onnx', 'onnxscript', 'onnxruntime', 'triton')


def main() -> int:
    missing = []
    for name in NEEDED:
        try:
            import_module(name)
        except ImportError as error:
            missing.append(f'{name} ({error})')
    try:
        import torch

        from mmseg_attn.benchmark.machine import commit, hardware, versions
        device = torch.device(sys.argv[1])
        print(json.dumps(dict(hardware=hardware(device), versions=versions(), commit=commit()), indent=1))
    except Exception as error:
        missing.append(f'{type(error).__name__}: {error}')
    print('missing: ' + '; '.join(missing) if missing else 'all that is needed is there')
    return bool(missing)


if __name__ == '__main__':
    sys.exit(main())
