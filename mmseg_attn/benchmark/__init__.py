"""What a head costs: parameters, operations, time and memory, beside mmseg's where it has the same."""
