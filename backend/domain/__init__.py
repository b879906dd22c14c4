"""Pure rules of the registry: units, classes, serials, positions, custody, retirements."""
