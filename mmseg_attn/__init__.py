"""Self-attention context heads for MMSegmentation."""

__version__ = '0.1.0'


def __getattr__(name: str) -> type:
    """``mmseg_attn.CARAFE`` and the like: so registries resolve a type that lies outside their scope."""
    if name[0].isupper():
        from mmseg_attn.registry import MODELS
        MODELS.import_from_location()
        if name in MODELS.module_dict:
            return MODELS.module_dict[name]
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
