"""All adapters of a project: list, import, merge, scale, compare, export with a model card, publish on the Hub."""
