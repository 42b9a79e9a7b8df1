# Topics for operators and developers.
