"""All adapters of a project: list, compare, export, model card, Hub."""
