"""What whole blocks compute, with the loops of ``tests/naive`` where they have no layer of PyTorch.

A block is in evaluation mode, an image (1, C, H, W), both in float64.
"""

import torch
import torch.nn.functional as F

from tests.naive import a2net, apcnet, ccnet, danet, dgmn, emanet, glore, isanet, non_local, ocnet, psanet


def _last(x):
    return x[0].permute(1, 2, 0)


def _first(x):
    return x.permute(2, 0, 1)[None]


def _pixels(x):
    """(1, C, H, W) -> (N, C)."""
    return x[0].flatten(1).T


def _unflatten(x, like):
    """(N, C) -> (1, C, H, W) with the height and width of ``like``."""
    return x.T.reshape(1, -1, *like.shape[2:])


def _pool(x, size):
    """By a smaller pool along a side that is shorter than ``size``."""
    return F.max_pool2d(x, [min(size, side) for side in x.shape[2:]])


def _resize(x, size):
    return _first(ocnet.upsample(_last(x), *size))


def double_attention(block, x):
    source = _pool(x, block.scale)
    context = a2net.double_attention(
        *(layer(source)[0].flatten(1) for layer in (block.value, block.gather, block.distribute)))
    context = _resize(block.out_conv(_unflatten(context.T, source)), x.shape[2:])
    return x + block.norm(context) if block.fusion == 'add' else block.fuse(torch.cat([context, x], dim=1))


def adaptive_context(block, x):
    features, scale = block.in_conv(x), block.pool_scale
    cells = block.pooled_conv(apcnet.pool(x[0], scale).unflatten(1, (scale, scale))[None])
    mean = apcnet.pool(features[0], 1)[None, :, :, None]
    context = apcnet.adaptive_context(block.affinity(features + block.global_conv(mean))[0], cells[0].flatten(1))
    return block.fusion_conv((block.residual_conv(context[None]) + features).clamp(min=0))


def criss_cross(block, x):
    for _ in range(block.recurrence):
        weights = ccnet.weights(block.query(x)[0], block.key(x)[0])
        x = block.gamma * ccnet.attend(weights, block.value(x)[0]) + x
    return x


def position_attention(block, x):
    weights = danet.position_weights(_pixels(block.query(x)), _pixels(block.key(x)))
    return block.gamma * _unflatten(danet.attend(weights, _pixels(block.value(x))), x) + x


def channel_attention(block, x):
    features = x[0].flatten(1)
    return block.gamma * danet.attend(danet.channel_weights(features), features).view_as(x) + x


def message_passing(block, x):
    features, messages = block.reduce(x), []
    for i, rate in enumerate(block.rates):
        if block.rigorous:
            offset_weight = None if block.mode == 'none' else block.offset_convs[i].weight
            messages.append(block.gamma[i] * dgmn.rigorous_message(
                features[0], offset_weight, block.filter_convs[i].weight, rate, block.groups, block.mode))
        else:
            messages.append(dgmn.fast_message(features[0], block.dynamic_convs[i].weight, rate, block.groups,
                                              block.mode))
    if not block.rigorous:
        return x + block.expand(block.fuse(torch.cat([features[0], *messages])[None]))
    out = block.expand(features + sum(messages))
    return x + out if block.reduction > 1 else out


def em_attention(block, x):
    bases, responsibilities = emanet.em_attention(block.in_conv(x)[0].flatten(1), block.bases[0], block.num_stages)
    reconstruction = _unflatten(responsibilities @ bases.T, x)
    return block.act(x + block.norm(block.out_conv(block.act(reconstruction))))


def global_reasoning(block, x):
    context = glore.global_reasoning(
        block.state(x)[0].flatten(1), block.projection(x)[0].flatten(1), block.node_conv.weight[..., 0],
        block.node_conv.bias, block.state_conv.weight[..., 0], block.normalize)
    return x + block.norm(block.out_conv(_unflatten(context.T, x)))


def interlaced_stage(stage, x):
    """One factor -> its context, and the map (H, W, H, W) of all pixels."""
    factor = stage.factor
    (top, bottom), (left, right) = (isanet.padding(s, f) for s, f in zip(x.shape[2:], factor, strict=True))
    height, width = x.shape[2:]
    x = F.pad(x, (left, right, top, bottom))
    inside = [(top + i, left + j) for i in range(height) for j in range(width)]
    without = [(i, j) for i in range(x.shape[2]) for j in range(x.shape[3]) if (i, j) not in inside]
    maps = []
    for attention in stage.long_range, stage.short_range:
        query, key, value = (_last(f(x)) for f in (attention.query, attention.key, attention.value))
        maps.append(isanet.weights(query, key, factor, attention.long_range, query.shape[2]**-0.5,
                                   without if stage.mask_padding else ()))
        x = attention.out_conv(_first(isanet.attend(maps[-1], value)))
    rows, columns = slice(top, top + height), slice(left, left + width)
    return x[:, :, rows, columns], isanet.compose(maps[1], maps[0])[rows, columns, rows, columns]


def interlaced(block, x):
    contexts = [interlaced_stage(stage, x)[0] for stage in block.stages]
    return block.out_conv(torch.cat([block.up_conv(x), *contexts], dim=1))


def non_local_attention(block, x):
    """With the default ``use_scale=True``."""
    source = _pool(x, 2) if block.sub_sample == 'before' else x
    projected = source if block.mode == 'gaussian' else block.key(source)
    after = 2 if block.sub_sample == 'after' else 1
    key, value = (_pixels(_pool(t, after)) for t in (projected, block.value(source)))
    query = _pixels(x if block.mode == 'gaussian' else block.query(x))
    concat = block.concat_project.weight.flatten() if block.mode == 'concatenation' else None
    scale = key.shape[1]**-0.5 if block.mode == 'embedded_gaussian' else 1.0
    context = non_local.attend(non_local.weights(query, key, block.mode, scale, concat), value)
    return x + block.norm(block.out_conv(_unflatten(context, x)))


def pooled_context(stage, x):
    """An object context on pooled pixels -> the context, and the weights (h, w, h, w) of the pooled pixels."""
    pooled = _pool(x, stage.size)
    query, key = map(_last, stage.query_and_key(pooled))
    weights = ocnet.weights(query, key, query.shape[2]**-0.5)
    context = stage.out_conv(_first(ocnet.attend(weights, _last(stage.value(pooled)))))
    return _resize(context, x.shape[2:]), weights


def context_of_blocks(stage, x):
    """An object context in a grid of blocks -> the context, and the weights (H, W, H, W)."""
    query, key = map(_last, stage.query_and_key(x))
    groups = ocnet.blocks(*x.shape[2:], stage.num_blocks)
    weights = ocnet.weights_within(query, key, query.shape[2]**-0.5, groups)
    return stage.out_conv(_first(ocnet.attend(weights, _last(stage.value(x))))), weights


def base_object_context(block, x):
    return block.out_conv(torch.cat([sum(pooled_context(stage, x)[0] for stage in block.stages), x], dim=1))


def pyramid_object_context(block, x):
    contexts = [context_of_blocks(stage, x)[0] for stage in block.stages]
    return block.out_conv(torch.cat([block.up_conv(x), *contexts], dim=1))


def asp_object_context(block, x):
    context, _ = pooled_context(block.context, block.in_conv(x))
    return block.out_conv(torch.cat([block.context_conv(context), *(conv(x) for conv in block.convs)], dim=1))


def point_attention(block, x):
    """Not in the form that is compatible with mmseg."""
    size = [-(-side // block.shrink_factor) for side in x.shape[2:]]
    attended = []
    for direction in block.directions:
        branch = block.get_submodule(direction)
        features = _resize(branch.reduce(x), size)
        logits = _last(branch.mask(branch.attention(features)))
        logits = logits.flatten(0, 1) if block.compact else psanet.relative_to_absolute(logits, block.mask_size)
        values = features[0].flatten(1)
        if block.psa_softmax:
            out = psanet.attend(values, logits, direction)
        else:
            out = values @ (logits.T if direction == 'collect' else logits)
        attended.append(_unflatten(out.T, features) / block.normalization_factor)
    return _resize(block.proj(torch.cat(attended, dim=1)), x.shape[2:])
