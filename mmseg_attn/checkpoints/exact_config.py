"""The config under which a converted checkpoint is exact, as a file."""

from mmengine.config import Config

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.shipped import configs_folder

from .config_text import literals_of, text_of
from .conversion import Conversion
from .trust import check_types, without_loading


def exact_config(conversion: Conversion) -> Config:
    """The config that the checkpoint holds, or the nearest of ours, with the model under which the result is exact."""
    if conversion.source_config is None:
        assert conversion.config is not None
        cfg = Config.fromfile(configs_folder() / conversion.config)
    else:
        check_types(conversion.source_config, 'the config in the file')
        cfg = Config(without_loading(conversion.source_config))
    cfg.model = conversion.model
    if literals_of(text_of(cfg)).keys() != cfg.keys():
        raise UserError('the config in the file cannot be written as a config: some of its values are no literals')
    return cfg
