"""What all commands share: errors, arguments, configs, reading pictures, writing files."""
