"""Ships configs/, tools/ and model-index.yml inside the wheel as mmseg_attn/.mim, where mim looks for them."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithMim(build_py):

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for folder in ('configs', 'tools'):
            target = Path(self.build_lib, 'mmseg_attn', '.mim', folder)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / folder, target, ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'model-index.yml', target.parent)


setup(cmdclass={'build_py': BuildWithMim})
