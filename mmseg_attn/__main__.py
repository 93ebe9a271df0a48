"""``python -m mmseg_attn`` is the console command ``mmseg-attn``."""

from mmseg_attn.cli import main

if __name__ == '__main__':
    main()
