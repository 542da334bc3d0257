"""What a study is: definition, blind images, counterbalanced plans."""
